"""States of a Scan: their codes, known before anything of the body is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import GraphProto, NodeProto

from codesign.exchange import is_neuron, read_neuron
from codesign.formats import Format, Real, ScaledInt
from codesign.frontend.check import QUANT_OPS
from codesign.frontend.context import Context
from codesign.frontend.layout import identity
from codesign.frontend.names import Names, printable
from codesign.ops.neuron import word_format

#: Between a quantizer and the state it writes nothing but these may lie.
_ALONG = frozenset({"Identity", "DequantizeLinear", "Clip"})
QUANTIZE = "write every state with a quantizer, the same in each step"


def state_format(
    inner: Context,
    node: NodeProto,
    body: GraphProto,
    states: int,
    index: int,
    shape: tuple[int, ...],
) -> Format:
    """Codes of state ``index`` of the Scan ``node``: those of the quantizer that writes it, or
    of the port of the body (a scan input, another state) that it is."""
    seen: set[int] = set()
    writers = _writers(body)  # once: a long delay is a long way back, for each of its stages
    ports = [port.name for port in body.input]
    while True:
        seen.add(index)
        chain, start = _back(writers, body.output[index].name)
        if chain and _quantizes(chain[0]):
            format = _format_of(inner, chain, shape)
            if format is None:
                name = printable(body.output[index].name)
                raise inner.error(node, f"the state '{name}' is constant", "leave it out")
            return format
        spikes = _neuron(writers, start)
        if spikes is not None and all(n.op_type == "Identity" for n in chain):
            arrays = {name: const.array for name, const in inner.constants.items()}
            model = read_neuron(spikes, arrays)
            return word_format(model.out, *model.span)
        if chain is not None and start in ports[states:] and start in inner.tensors:
            format = inner.tensors[start].value.format
            if not isinstance(format, Real):
                return format
        if start not in ports[:states] or ports.index(start) in seen:
            name = printable(body.input[index].name)
            raise inner.error(node, f"the state '{name}' is written without a quantizer", QUANTIZE)
        index = ports.index(start)


def written_as_codes(body: GraphProto, name: str) -> bool:
    """Whether the state ``name`` is written by a quantizer, or is a port of the body."""
    writers = _writers(body)
    chain, start = _back(writers, name)
    coded = bool(chain and _quantizes(chain[0])) or _neuron(writers, start) is not None
    return coded or start in {port.name for port in body.input}


def _writers(body: GraphProto) -> dict[str, NodeProto]:
    """The node that writes each tensor."""
    return {out: node for node in body.node for out in node.output}


def _neuron(writers: Mapping[str, NodeProto], name: str) -> NodeProto | None:
    """The neuron whose result ``name`` is."""
    node = writers.get(name)
    return node if node is not None and is_neuron(node) and node.output[0] == name else None


def _quantizes(node: NodeProto) -> bool:
    return node.op_type in QUANT_OPS or node.op_type == "QuantizeLinear"


def _back(writers: Mapping[str, NodeProto], name: str) -> tuple[list[NodeProto], str]:
    """The nodes that lead from a quantizer (or from a port) to ``name``, and what they read."""
    chain: list[NodeProto] = []
    while name in writers:
        node = writers[name]
        if not _quantizes(node) and node.op_type not in _ALONG:
            break
        chain.insert(0, node)
        name = node.input[0]
        if _quantizes(node):
            break
    return chain, name


def _format_of(inner: Context, chain: list[NodeProto], shape: tuple[int, ...]) -> Format | None:
    """What ``chain`` makes of a float32 tensor, found by importing it on its own; None where it
    starts from a constant."""
    from codesign.frontend.qonnx import import_node

    probe = inner.inner(inner.model.graph, "Scan")
    probe.constants = dict(inner.constants)
    probe.use_names(Names(), Names())
    probe.port(chain[0].input[0], shape, Real(), identity(len(shape)))
    for node in chain:
        if node.output[0] not in probe.tensors:
            import_node(probe, node)
    made = probe.tensors.get(chain[-1].output[0])
    return None if made is None else made.value.format


def initial_codes(
    ctx: Context, node: NodeProto, name: str, values: np.ndarray, format: Format
) -> np.ndarray:
    """int64 codes of the initial state ``values`` (channels last); refused unless exact."""
    assert isinstance(format, ScaledInt)
    scale = np.asarray(format.scale)
    codes = np.round(values.astype(np.float64) / scale).astype(np.int64) + format.zero_point
    inside = (codes >= format.lo) & (codes <= format.hi)
    exact = format.decode(codes[None])[0] == values
    if not (inside & exact).all():
        bad = float(values[~(inside & exact)].ravel()[0])
        raise ctx.error(
            node,
            f"the initial state '{printable(name)}' is {bad:g}, which is no code of "
            f"{format.label()}",
            "start from zeros, or from values of the quantizer that writes the state",
        )
    return np.asarray(codes)
