"""What lies between integer codes, an operation on whole vectors, and the quantizers behind it."""

from __future__ import annotations

import math

from codesign.errors import UnsupportedModel
from codesign.formats import Real, ScaledInt
from codesign.ir import Graph, Node, Value
from codesign.ops.chain import chain_to
from codesign.ops.mul import Div, Mul
from codesign.ops.quantizer import Quantizer

_ONNX = {"softmax": "Softmax", "normalize": "LayerNormalization"}


def quantizers_of(graph: Graph, node: Node) -> list[Node]:
    """The quantizers that read ``node`` through float; an error if it is also left as float."""
    found: list[Node] = []
    todo, seen, leaves = [node.output], set(), False
    while todo:
        name = todo.pop()
        leaves |= name in graph.outputs
        for reader in graph.consumers(name):
            if isinstance(reader.op, Quantizer):
                found.append(reader)
            elif isinstance(graph.out(reader).format, Real) and reader.output not in seen:
                seen.add(reader.output)
                todo.append(reader.output)
    if found and leaves:
        what = "it is quantized and also leaves the network as float"
        raise refused(node, what, "export one of the two as the output")
    return found


def scaled_codes(graph: Graph, node: Node) -> tuple[Value, float]:
    """The integer value that ``node``'s input is a multiple of, and what a step of it means."""
    hint = f"quantize its input (one scale per tensor) right before the {_ONNX[node.op.kind]}"
    chain = chain_to(graph, node.inputs[0])
    if chain is None:
        raise refused(node, "its input is not computed from one integer value", hint)
    format = chain.origin.format
    if not isinstance(format, ScaledInt) or len(set(format.scale)) > 1:
        raise refused(node, "its input has a scale per channel", hint)
    scale = format.scale[0]
    for place, step in enumerate(chain.steps):
        op = step.op
        if step.inputs != (place,) or not isinstance(op, Mul | Div) or op.value.size > 1:
            raise refused(node, f"'{step.op.kind}' lies between integer codes and it", hint)
        if getattr(op, "reverse", False):
            raise refused(node, "a quotient lies between integer codes and it", hint)
        factor = float(op.value.reshape(-1)[0])
        scale = scale * factor if isinstance(op, Mul) else scale / factor
    if not (scale > 0 and math.isfinite(scale)):
        raise refused(node, f"its input is codes times {scale:.4g}", "use a positive scale")
    return chain.origin, scale


def replaced(graph: Graph, node: Node, made: Node, value: Value) -> Graph:
    """``made`` instead of ``node``; it writes ``value``."""
    nodes = [made if n.name == node.name else n for n in graph.nodes]
    return graph.with_nodes(nodes, [value])


def refused(node: Node, what: str, hint: str) -> UnsupportedModel:
    """The error to raise, naming ``node``."""
    return UnsupportedModel(what, where=f"node '{node.name}' ({_ONNX[node.op.kind]})", hint=hint)
