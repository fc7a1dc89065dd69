"""Quantization-aware training, export and recording of PyTorch's own results.

Needs ``pip install codesign[train]``; importing this package does not: PyTorch and Brevitas are
loaded when a function first needs them.
"""
