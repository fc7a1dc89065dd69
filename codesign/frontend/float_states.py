"""States that a Scan carries in float32 and quantizes where they are read.

The quantizer does the same at the end of the step before, so it is moved there: the state is then
carried as codes. Nothing changes but where the rounding happens, not its result.
"""

from __future__ import annotations

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from codesign.frontend.check import QUANT_OPS
from codesign.frontend.scan.body import body_of
from codesign.frontend.scan.state import written_as_codes


def quantize_states(model: ModelProto) -> None:
    """Rewrite the Scans of a cleaned ``model`` in place, where a state is written as float32 and
    read by one quantizer alone. Other states stay; the importer refuses them by name."""
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        body = body_of(node)
        if body is None:
            nodes.append(node)
            continue
        scans = next(a.i for a in node.attribute if a.name == "num_scan_inputs")
        after: list[NodeProto] = []
        for index in range(len(node.input) - scans):
            if not written_as_codes(body, body.output[index].name):
                _move(model.graph, node, body, index, nodes, after)
        nodes += [node, *after]
    copies = [NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _move(
    graph: GraphProto,
    node: NodeProto,
    body: GraphProto,
    index: int,
    before: list[NodeProto],
    after: list[NodeProto],
) -> None:
    """State ``index``: its quantizer goes to the end of the body, and onto the initial state."""
    port, written = body.input[index].name, body.output[index].name
    chain = _quantizer(body, port)
    made = {name for n in body.node for name in n.output}
    if not chain or any(name in made for n in chain for name in n.input[1:]):
        return
    before += _copies(graph, body, chain, node.input[index], f"{port}/start")
    node.input[index] = before[-1].output[0]
    moved = _copies(None, body, chain, written, written)
    kept = [n for n in body.node if n not in chain]
    same = helper.make_node("Identity", [port], [chain[-1].output[0]], f"{port}/same")
    copies = [NodeProto.FromString(n.SerializeToString()) for n in (same, *kept, *moved)]
    del body.node[:]
    body.node.extend(copies)
    body.output[index].name = moved[-1].output[0]
    if node.output[index]:
        after.append(_last(graph, node, body, written, index))


def _quantizer(body: GraphProto, port: str) -> list[NodeProto]:
    """The quantizer that alone reads ``port``, one node or those from QuantizeLinear to
    DequantizeLinear; empty where there is none."""
    chain: list[NodeProto] = []
    ends, name = {out.name for out in body.output}, port
    while name not in ends:
        readers = [n for n in body.node if name in n.input]
        if len(readers) != 1 or readers[0].input[0] != name:
            return []
        chain.append(readers[0])
        kind, name = readers[0].op_type, readers[0].output[0]
        if len(chain) == 1 and kind in QUANT_OPS or kind == "DequantizeLinear":
            return chain
        if kind != ("QuantizeLinear" if len(chain) == 1 else "Clip"):
            return []
    return []


def _copies(
    graph: GraphProto | None, body: GraphProto, chain: list[NodeProto], source: str, stem: str
) -> list[NodeProto]:
    """``chain`` on ``source``; with the constants it needs where ``graph``, around the body, is
    to hold it."""
    inner = {t.name: t for t in body.initializer}
    made: list[NodeProto] = []
    for number, node in enumerate(chain):
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.name = copy.output[0] = f"{stem}/codes{number}"
        copy.input[0] = source
        for place, name in enumerate(node.input[1:], start=1):
            if graph is not None and name in inner:
                copy.input[place] = f"{name}/{stem}"
                if all(t.name != copy.input[place] for t in graph.initializer):
                    array = numpy_helper.to_array(inner[name])
                    graph.initializer.append(numpy_helper.from_array(array, copy.input[place]))
        source = copy.output[0]
        made.append(copy)
    return made


def _last(
    graph: GraphProto, node: NodeProto, body: GraphProto, written: str, index: int
) -> NodeProto:
    """The final state is still float32: the last step of a further scan output."""
    name = node.output[index]
    steps, place = f"{name}/steps", f"{name}/last"
    port = body.output.add()
    port.name = f"{written}/out"
    body.node.append(helper.make_node("Identity", [written], [port.name], port.name))
    scans = next(a.i for a in node.attribute if a.name == "num_scan_inputs")
    outputs = len(node.output) - (len(node.input) - scans)
    for attribute in node.attribute:
        if attribute.name == "scan_output_axes":
            attribute.ints.append(1)
        elif attribute.name == "scan_output_directions":
            attribute.ints.append(0)
    if all(a.name != "scan_output_axes" for a in node.attribute):
        node.attribute.append(helper.make_attribute("scan_output_axes", [*[0] * outputs, 1]))
    node.output.append(steps)
    node.output[index] = ""
    graph.initializer.append(numpy_helper.from_array(np.array(-1, dtype=np.int64), place))
    return helper.make_node("Gather", [steps, place], [name], name, axis=1)
