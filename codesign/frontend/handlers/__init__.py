"""One handler per ONNX operator; every file here is found and imported by name."""
