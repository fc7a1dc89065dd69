"""States that a Scan carries in float32 and quantizes where they are read.

The quantizer does the same at the end of the step before, so it is moved there: the state is then
carried as codes. Nothing changes but where the rounding happens, not its result.
"""

from __future__ import annotations

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from codesign.frontend.check import QUANT_OPS
from codesign.frontend.scan_body import body_of
from codesign.frontend.scan_state import written_as_codes


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
    readers = [n for n in body.node if port in n.input]
    leaves = any(out.name == port for out in body.output)
    if len(readers) != 1 or leaves or readers[0].op_type not in QUANT_OPS:
        return
    (quantizer,) = readers
    made = {name for n in body.node for name in n.output}
    if any(name in made for name in quantizer.input[1:]) or quantizer.input[0] != port:
        return
    inner = {t.name: t for t in body.initializer}
    start = _copy(quantizer, node.input[index], f"{port}/start/codes")
    for place, name in enumerate(quantizer.input[1:], start=1):
        if name in inner:  # the graph around the body does not see it
            new = f"{name}/{port}/start"
            graph.initializer.append(
                numpy_helper.from_array(numpy_helper.to_array(inner[name]), new)
            )
            start.input[place] = new
    body.node.append(_copy(quantizer, written, f"{written}/codes"))
    quantizer.CopyFrom(helper.make_node("Identity", [port], [quantizer.output[0]], quantizer.name))
    before.append(start)
    node.input[index] = start.output[0]
    body.output[index].name = f"{written}/codes"
    if node.output[index]:
        after.append(_last(graph, node, body, written, index))


def _copy(quantizer: NodeProto, source: str, output: str) -> NodeProto:
    made = NodeProto()
    made.CopyFrom(quantizer)
    made.name = output
    made.input[0], made.output[0] = source, output
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
