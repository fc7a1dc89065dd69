"""The intermediate representation: graphs of operations on integer codes."""

from codesign.ir.graph import Graph, Node, State, Value, verify
from codesign.ir.op import REGISTRY, Elementwise, Op, constant, record, register

__all__ = [
    "REGISTRY",
    "Elementwise",
    "Graph",
    "Node",
    "Op",
    "State",
    "Value",
    "constant",
    "record",
    "register",
    "verify",
]
