"""Decoders as operators of the domain, version 1: steps (batch, T, ...) to smoothed steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, helper

from codesign.exchange.attributes import (
    Numbers,
    Rule,
    Setting,
    Value,
    check_one_port,
    check_operator,
    read_settings,
)
from codesign.exchange.domain import DOMAIN, VERSION, error, printable
from codesign.exchange.wire import to_codes, to_wire
from codesign.spikes.bessel import BITS, FRACS, STEPS, Bessel, Sections

#: Numbers of a section: b0, b1, b2, a1, a2.
SECTION = 5
#: Of the filter: even, so that it is whole sections.
ORDERS = range(2, 17, 2)
COEFFICIENTS = range(-(1 << 26), (1 << 26) + 1)


@dataclass(frozen=True)
class ReadDecoder:
    """A node, read."""

    decoder: Bessel
    attributes: dict[str, Setting]


def decoder_rules(found: Mapping[str, Value]) -> dict[str, Rule]:
    """What each attribute may be, ``version`` among them."""
    order = found.get("order")
    sections = order // 2 if isinstance(order, int) and order in ORDERS else 1
    return {
        "version": range(VERSION, VERSION + 1),
        "steps": STEPS,
        "bits": BITS,
        "frac": FRACS,
        "signed": range(2),
        "order": ORDERS,
        "coefficient_frac": range(1, 25),
        "guard": range(25),
        "coefficients": Numbers(SECTION * sections, COEFFICIENTS),
    }


def decoder_node(decoder: Bessel, name: str, source: str, out: str) -> NodeProto:
    """``decoder`` as a node called ``name``, which reads ``source`` and writes ``out``."""
    node = helper.make_node("BesselDecoder", [source], [out], name, domain=DOMAIN)
    sections = decoder.sections
    values: dict[str, object] = {
        "version": VERSION,
        "steps": decoder.steps,
        "bits": decoder.bits,
        "frac": decoder.frac,
        "signed": int(decoder.signed),
        "order": 2 * len(sections.coefficients),
        "coefficient_frac": sections.frac,
        "guard": sections.guard,
        "coefficients": sections.coefficients.reshape(-1).tolist(),
    }
    node.attribute.extend(helper.make_attribute(k, v) for k, v in values.items())
    read_decoder(node)
    return node


def read_decoder(node: NodeProto) -> ReadDecoder:
    """The decoder that ``node`` stands for.

    Raises :class:`UnsupportedModel` where an attribute is missing, unknown or wrong, the operator
    is not of this version, or the node has other ports than one in and one out.
    """
    check_operator(node)
    attributes = read_settings(node, decoder_rules)
    del attributes["version"]
    check_one_port(node)
    numbers = {k: v for k, v in attributes.items() if isinstance(v, int)}
    table = np.array(attributes["coefficients"], dtype=np.int64).reshape(-1, SECTION)
    try:
        sections = Sections(table, numbers["coefficient_frac"], numbers["guard"])
        window = {k: numbers[k] for k in ("steps", "bits", "frac")}
        return ReadDecoder(Bessel(**window, signed=bool(numbers["signed"]), sections=sections),
                           attributes)  # fmt: skip
    except ValueError as reason:
        raise error(node, str(reason), "docs/EXCHANGE.md lists the attributes") from None


def decoded_shape(node: NodeProto, decoder: Bessel, shape: tuple[int, ...]) -> tuple[int, ...]:
    """What ``node`` makes of a tensor of ``shape``, the batch among them.

    Raises :class:`UnsupportedModel` for one its decoder does not read.
    """
    try:
        return (*shape[:1], *decoder.out_shape(tuple(shape[1:])))
    except ValueError as reason:
        what = f"tensor '{printable(node.input[0])}' has shape {tuple(shape)}: {reason}"
        raise error(node, what, "it reads (batch, steps, ...), as its attributes say") from None


def execute_decoder(node: NodeProto, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ``node`` writes, float32 [batch, steps, ...], of float32 of the same shape.

    Raises :class:`UnsupportedModel` where a value is no code of the decoder.
    """
    decoder, name = read_decoder(node).decoder, node.input[0]
    values = np.asarray(tensors[name])
    decoded_shape(node, decoder, values.shape)
    codes = codes_of(node, values, decoder.frac, decoder.span)
    return {node.output[0]: to_wire(decoder.decode(codes), decoder.out_frac)}


def codes_of(node: NodeProto, values: np.ndarray, frac: int, span: tuple[int, int]) -> np.ndarray:
    """int64 codes in ``span`` of what ``node`` reads first.

    Raises :class:`UnsupportedModel` where a value is no such code.
    """
    where = f"tensor '{printable(node.input[0])}'"
    try:
        codes = to_codes(values, frac)
    except ValueError as reason:
        hint = "quantize what it reads to 'bits' bits with a scale of 2^-frac"
        raise error(node, f"{where}: {reason}", hint) from None
    lo, hi = span
    wrong = codes[(codes < lo) | (codes > hi)]
    if wrong.size:
        what = f"{where}: code {wrong.flat[0]} lies outside {lo}..{hi}"
        raise error(node, what, "quantize it to the bits that its attributes name")
    return codes
