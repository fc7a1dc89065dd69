"""Clean-up: one spelling for what different exporters write differently.

The result computes the same and runs in qonnx: quantizers live in one domain, initializers are
no graph inputs, nodes are in order, only the first output and what it needs is left.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto, helper

from codesign import exchange
from codesign.exchange.domain import is_ours
from codesign.frontend.batch_first import batch_first
from codesign.frontend.channels_last import channels_first
from codesign.frontend.check import (
    MICROSOFT,
    QUANT_DOMAINS,
    QUANT_OPS,
    STANDARD,
    input_shape,
    sorted_nodes,
)
from codesign.frontend.float_states import quantize_states
from codesign.frontend.scan.body import bodies, names_read, unique_names
from codesign.frontend.stack_frames import stack_frames

QUANT_DOMAIN = "qonnx.custom_op.general"
_ROUNDING_ALIASES = {"ROUND_TO_ZERO": "DOWN"}


def clean(model: ModelProto) -> ModelProto:
    """A cleaned copy of a model that passed :func:`codesign.frontend.check.check_model`."""
    out = ModelProto()
    out.CopyFrom(model)
    for graph in (out.graph, *bodies(out.graph.node)):
        for node in graph.node:
            _one_spelling(node)
    channels_first(out)
    _order_and_prune(out)
    _ports(out)
    _opsets(out)
    if len(out.graph.input) == 1:
        unique_names(out)
        batch_first(out)
        quantize_states(out)
        stack_frames(out)
    del out.graph.value_info[:]
    del out.graph.quantization_annotation[:]
    return out


def _one_spelling(node: NodeProto) -> None:
    if node.domain in STANDARD:
        node.domain = ""
    if node.op_type not in QUANT_OPS or node.domain not in QUANT_DOMAINS:
        return
    node.domain = QUANT_DOMAIN
    if node.op_type == "IntQuant":
        node.op_type = "Quant"
    for attribute in node.attribute:
        if attribute.name == "rounding_mode":
            mode = attribute.s.decode("utf-8", "replace").upper()
            attribute.s = _ROUNDING_ALIASES.get(mode, mode).encode()


def _order_and_prune(model: ModelProto) -> None:
    """Topological order; nodes and initializers the first output does not need are dropped."""
    graph = model.graph
    known = {t.name for t in graph.initializer} | {i.name for i in graph.input}
    needed = {graph.output[0].name}
    kept: list[NodeProto] = []
    for node in reversed(sorted_nodes(list(graph.node), known)):
        if needed.intersection(node.output):
            needed.update(names_read(node))
            kept.append(node)
    kept_copies = [_copy(node) for node in reversed(kept)]
    constants = [t for t in graph.initializer if t.name in needed]
    constant_copies = [type(t).FromString(t.SerializeToString()) for t in constants]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept_copies)
    graph.initializer.extend(constant_copies)


def _copy(node: NodeProto) -> NodeProto:
    out = NodeProto()
    out.CopyFrom(node)
    return out


def _ports(model: ModelProto) -> None:
    """One input with a fixed batch, one output."""
    graph = model.graph
    constants = {t.name for t in model.graph.initializer}
    produced = {o for n in graph.node for o in n.output}
    used = {i for n in graph.node for i in names_read(n)}
    ports = [i for i in graph.input if i.name in used and i.name not in constants | produced]
    inputs = [
        helper.make_tensor_value_info(p.name, p.type.tensor_type.elem_type, input_shape(p))
        for p in ports
    ]
    first = graph.output[0]
    kind = first.type.tensor_type.elem_type or 1
    output = helper.make_tensor_value_info(first.name, kind, None)
    del graph.input[:], graph.output[:]
    graph.input.extend(inputs)
    graph.output.append(output)


def _opsets(model: ModelProto) -> None:
    version = next(o.version for o in model.opset_import if o.domain in STANDARD)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", version))
    # qonnx takes the version of Trunc from the domain; version 2 has six inputs.
    graphs = (model.graph, *bodies(model.graph.node))
    second = any(n.op_type == "Trunc" and len(n.input) == 6 for g in graphs for n in g.node)
    model.opset_import.append(helper.make_opsetid(QUANT_DOMAIN, 2 if second else 1))
    if any(is_ours(n) for g in graphs for n in g.node):
        model.opset_import.append(helper.make_opsetid(exchange.DOMAIN, exchange.VERSION))
    if any(n.domain == MICROSOFT for n in model.graph.node):
        model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    # 13 is the newest that onnxruntime 1.31 reads.
    model.ir_version = max(4, min(model.ir_version, 13))
