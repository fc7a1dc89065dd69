"""Encoders as operators of the domain, version 1: codes (batch, F) to steps (batch, T, F);
a signal (batch, T, F) to its changes, (batch, T, 2F)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from onnx import NodeProto, helper

from codesign.errors import UnsupportedModel
from codesign.exchange.attributes import (
    Rule,
    Value,
    check_one_port,
    check_operator,
    read_attributes,
)
from codesign.exchange.decoder import codes_of
from codesign.exchange.domain import DOMAIN, ENCODERS, VERSION, error, printable
from codesign.exchange.wire import to_wire
from codesign.spikes import coders
from codesign.spikes.coders import BITS, FRACS, STEPS, Encoder

_COMMON: dict[str, Rule] = {"steps": STEPS, "bits": BITS, "frac": FRACS}
_OWN: dict[str, dict[str, Rule]] = {
    "RateEncoder": {"seed": range(1 << 31)},
    "LatencyEncoder": {"low": range(1 << 16)},
    "DirectEncoder": {"signed": range(2)},
    "CountEncoder": {"form": coders.Count.forms},
    "DeltaEncoder": {"low": range(1 << 16), "signed": range(2)},
}
_CLASSES: dict[str, type[Encoder]] = {
    "RateEncoder": coders.Rate,
    "LatencyEncoder": coders.Latency,
    "DirectEncoder": coders.Direct,
    "CountEncoder": coders.Count,
    "DeltaEncoder": coders.Delta,
}
assert set(_OWN) == set(_CLASSES) == ENCODERS


@dataclass(frozen=True)
class ReadEncoder:
    """A node, read."""

    encoder: Encoder
    attributes: dict[str, Value]


def encoder_rules(op_type: str) -> dict[str, Rule]:
    """What each attribute of the operator may be, ``version`` among them."""
    return {"version": range(VERSION, VERSION + 1), **_COMMON, **_OWN[op_type]}


def encoder_node(encoder: Encoder, name: str, source: str, out: str) -> NodeProto:
    """``encoder`` as a node called ``name``, which reads ``source`` and writes ``out``.

    Raises :class:`UnsupportedModel` where no operator stands for it.
    """
    op_type = next((k for k, c in _CLASSES.items() if type(encoder) is c), None)
    if op_type is None:
        what = f"no operator stands for {type(encoder).__name__}"
        hint = f"use {', '.join(c.__name__ for c in _CLASSES.values())}"
        raise UnsupportedModel(what, where=f"encoder '{printable(name)}'", hint=hint)
    node = helper.make_node(op_type, [source], [out], name, domain=DOMAIN)
    values = {f.name: getattr(encoder, f.name) for f in fields(encoder)}
    values = {k: int(v) if isinstance(v, bool) else v for k, v in values.items()}
    for key, value in {"version": VERSION, **values}.items():
        node.attribute.append(helper.make_attribute(key, value))
    read_encoder(node)
    return node


def read_encoder(node: NodeProto) -> ReadEncoder:
    """The encoder that ``node`` stands for.

    Raises :class:`UnsupportedModel` where an attribute is missing, unknown or wrong, the operator
    is not of this version, or the node has other ports than one in and one out.
    """
    check_operator(node)
    attributes = read_attributes(node, lambda _: encoder_rules(node.op_type))
    del attributes["version"]
    check_one_port(node)
    try:
        values = {k: bool(v) if k == "signed" else v for k, v in attributes.items()}
        return ReadEncoder(_CLASSES[node.op_type](**values), attributes)  # type: ignore[arg-type]
    except ValueError as reason:
        raise error(node, str(reason), "docs/EXCHANGE.md lists the attributes") from None


def out_shape(node: NodeProto, encoder: Encoder, shape: tuple[int, ...]) -> tuple[int, ...]:
    """What ``node`` makes of a tensor of ``shape``, the batch among them.

    Raises :class:`UnsupportedModel` for one its encoder does not read.
    """
    try:
        return (*shape[:1], *encoder.out_shape(tuple(shape[1:])))
    except ValueError as reason:
        what = f"tensor '{printable(node.input[0])}' has shape {tuple(shape)}: {reason}"
        wanted = "(batch, steps, F)" if encoder.over_time else "(batch, F)"
        raise error(node, what, f"it reads {wanted}: reshape what comes before it") from None


def execute_encoder(node: NodeProto, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ``node`` writes, float32 [batch, steps, F], of float32 [batch, F] (or of a signal).

    Raises :class:`UnsupportedModel` where a value is no code of the encoder.
    """
    encoder = read_encoder(node).encoder
    values = np.asarray(tensors[node.input[0]])
    out_shape(node, encoder, values.shape)
    codes = codes_of(node, values, encoder.frac, encoder.span)
    return {node.output[0]: to_wire(encoder.encode(codes), encoder.out_frac)}
