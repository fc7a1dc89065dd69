"""QONNX to ``ir.Graph``: the importer's entry point."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto, NodeProto

from codesign import exchange
from codesign.errors import UnsupportedModel
from codesign.exchange.sequence import as_sequence
from codesign.formats import QuantFormat
from codesign.frontend import handlers
from codesign.frontend.check import MICROSOFT, check_model
from codesign.frontend.clean import QUANT_DOMAIN, clean
from codesign.frontend.context import HANDLERS, Context
from codesign.frontend.fold import try_fold
from codesign.frontend.fuse_norm import nodes_to_import
from codesign.frontend.handlers.qdq import AWARE, CONTRIB, MOVES
from codesign.frontend.input_format import quantize_input
from codesign.frontend.load import load_model
from codesign.frontend.names import printable, safe
from codesign.frontend.orient_input import orient_input
from codesign.ir import Graph, verify

__all__ = ["Imported", "import_qonnx"]

for _module in pkgutil.iter_modules(handlers.__path__):  # importing them registers handlers
    importlib.import_module(f"{handlers.__name__}.{_module.name}")


def _check_integers(ctx: Context, node: NodeProto) -> None:
    """Refuse what would compute with the integers of the network input, which may wrap."""
    if not ctx.raw.intersection(node.input):
        return
    if node.op_type in MOVES:
        ctx.raw.update(node.output)
    elif node.op_type not in AWARE | {"Cast"}:
        raise ctx.error(
            node,
            "it computes on the integers of the network input",
            "put a DequantizeLinear, or a Cast to float32, before it",
        )


RECURRENT = (
    "recurrent layers are supported as a Scan whose body quantizes every gate, product and state "
    "(docs/IMPORT.md), or unrolled"
)
_HINTS = {
    "InstanceNormalization": "use batch norm: its statistics are known before the network runs",
    "QuantLSTMCell": RECURRENT,
    "LSTM": RECURRENT,
    "GRU": RECURRENT,
    "RNN": RECURRENT,
}


@dataclass(frozen=True)
class Imported:
    """An imported model.

    ``tensor_names``: value name in ``graph`` to tensor name in the file; ``tensor_axes``: how
    that tensor lies in the value (see :mod:`codesign.frontend.layout`); ``tensor_shapes``: every
    computed tensor of the file, without batch; ``output_axes``: how each output of the file lies in
    the value that ends ``graph``, whose name may be that of a tensor before a Transpose;
    ``node_names``: node name in ``graph`` to node
    name in the file (several may share one); ``model``: the cleaned ONNX model, which qonnx can
    run; ``source``: the model as it was read, in one piece, with the quantizer of
    ``input_format`` if one was given.
    """

    graph: Graph
    tensor_names: dict[str, str]
    tensor_axes: dict[str, tuple[int, ...]]
    tensor_shapes: dict[str, tuple[int, ...]]
    output_axes: dict[str, tuple[int, ...]]
    node_names: dict[str, str]
    model: ModelProto
    source: ModelProto


def prepare(
    model: ModelProto, input_format: QuantFormat | None
) -> tuple[ModelProto, ModelProto, Context]:
    """``model`` with its input quantized, cleaned up, and the context its nodes are imported into.

    Raises :class:`UnsupportedModel` for a graph too malformed to walk.
    """
    model = as_sequence(model)
    check_model(model)
    if input_format is not None:
        model = quantize_input(model, input_format)
    cleaned = clean(model)
    if len(cleaned.graph.input) != 1:
        raise UnsupportedModel(
            f"input '{printable(model.graph.input[0].name)}' is not connected to the output",
            hint="the output is a constant; Brevitas' dynamo export of recurrent layers does this",
        )
    ctx = Context(cleaned)
    orient_input(ctx)
    return model, cleaned, ctx


def import_qonnx(
    source: str | Path | ModelProto, *, name: str = "", input_format: QuantFormat | None = None
) -> Imported:
    """Import a QONNX file or model; errors name the node, the attribute and the way out.

    ``input_format``: the codes of the network input where the file has no quantizer for it; one
    is put there, in the graph and in ``source`` and ``model`` of the result.
    """
    model = source if isinstance(source, ModelProto) else load_model(source)
    model, cleaned, ctx = prepare(model, input_format)
    for node in nodes_to_import(cleaned):
        import_node(ctx, node)
    stem = "" if isinstance(source, ModelProto) else Path(source).stem
    graph = ctx.graph(safe(name or stem or model.graph.name, "model"))
    verify(graph)
    shapes = {name: tensor.shape for name, tensor in ctx.tensors.items()}
    names, layouts = dict(ctx.tensor_names), dict(ctx.tensor_axes)
    for name, (tensor, axes, shape) in ctx.neuron_states.items():
        names[name], layouts[name], shapes[tensor] = tensor, axes, shape
    outputs = [port.name for port in cleaned.graph.output]
    ends = {name: ctx.tensors[name].axes for name in outputs if name in ctx.tensors}
    return Imported(graph, names, layouts, shapes, ends, ctx.node_names, cleaned, model)


def import_node(ctx: Context, node: NodeProto) -> None:
    """Fold the node if its inputs are known, else hand it to its handler."""
    if try_fold(ctx, node):
        return
    _check_integers(ctx, node)
    standard = node.domain == (MICROSOFT if node.op_type in CONTRIB else "")
    known_domain = standard or node.domain in (QUANT_DOMAIN, exchange.DOMAIN)
    key = ("" if standard else node.domain, node.op_type)
    handler = HANDLERS.get(key) if known_domain else None
    if handler is None:
        place = "" if known_domain else f" of domain '{printable(node.domain)}'"
        known = ", ".join(sorted({op for _, op in HANDLERS}))
        hint = _HINTS.get(node.op_type, f"supported: {known}")
        raise ctx.error(node, f"operator '{printable(node.op_type)}'{place} is not supported", hint)
    handler(ctx, node)
