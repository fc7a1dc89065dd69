"""ONNX files to ``ir.Graph``; see docs/ARCHITECTURE.md."""

from codesign.frontend.load import load_model
from codesign.frontend.qonnx import Imported, import_qonnx

__all__ = ["Imported", "import_qonnx", "load_model"]
