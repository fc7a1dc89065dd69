"""Run-time weights: an AXI4-Lite port, its address map and the memories behind it."""
