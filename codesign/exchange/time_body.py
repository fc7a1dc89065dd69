"""Encoders and decoders in standard operators: exact int64, as neurons' bodies are.

The two of :mod:`codesign.spikes` once more, for tools that know nothing of them; the tests compare
both. What the operator refuses (values that are no codes, other steps) fails here when it runs.
"""

from __future__ import annotations

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper

from codesign.exchange.body import Body
from codesign.exchange.coders import read_encoder
from codesign.exchange.decoder import read_decoder
from codesign.exchange.domain import is_encoder
from codesign.spikes import coders
from codesign.spikes.bessel import Bessel
from codesign.spikes.encoders import FIRST_FACTOR, SECOND_FACTOR, key

#: Name of what such a body reads.
GIVEN = "x"
#: What the names inside the loop of a filter begin with: they must not be those of the graph.
INSIDE = "codesign.bessel/"
_TWO32 = 1 << 32


def time_body(node: NodeProto) -> list[NodeProto]:
    """The nodes that make ``out`` of :data:`GIVEN` as ``node`` does."""
    body = Body()
    if is_encoder(node):
        encoder = read_encoder(node).encoder
        codes = body.enter(GIVEN, encoder.frac, *encoder.span)
        body.leave(_encoded(body, encoder, codes), encoder.out_frac, "out")
    else:
        decoder = read_decoder(node).decoder
        codes = _of_steps(body, body.enter(GIVEN, decoder.frac, *decoder.span), decoder.steps)
        body.leave(_smoothed(body, decoder, codes), decoder.out_frac, "out")
    return body.finish(["out"])


def _encoded(body: Body, encoder: coders.Encoder, q: str) -> str:
    if isinstance(encoder, coders.Delta):
        return _changes(body, encoder, _of_steps(body, q, encoder.steps))
    step = body.constant(np.arange(encoder.steps, dtype=np.int64)[:, None])
    every = body.op("Unsqueeze", q, _axes(body, 1))
    match encoder:
        case coders.Direct():
            return body.op("Add", every, body.op("Mul", step, 0))
        case coders.Latency(bits=bits, low=low, steps=steps):
            late = body.op("Mul", body.op("Sub", (1 << bits) - 1, every), steps)
            now = body.op("Equal", body.op("Div", late, 1 << bits), step)
            return body.number(body.op("And", now, body.op("GreaterOrEqual", every, low)))
        case coders.Rate():
            return body.number(body.op("Greater", every, _drawn(body, encoder, q, step)))
        case coders.Count(form="binary"):
            return body.number(body.op("Greater", every, step))
        case coders.Count(form="ternary"):
            size = body.number(body.op("Greater", body.op("Abs", every), step))
            ends = [body.number(body.op(side, every, 0)) for side in ("Greater", "Less")]
            return body.op("Mul", size, body.op("Sub", *ends))
        case coders.Count():
            shifts = np.minimum(np.arange(encoder.steps)[::-1, None], 30)
            powers = body.constant(np.int64(1) << shifts.astype(np.int64))
            return body.op("Mod", body.op("Div", every, powers), 2)
    raise TypeError(type(encoder).__name__)


def _changes(body: Body, encoder: coders.Delta, q: str) -> str:
    first, last, axis = (_axes(body, n) for n in (0, -1, 1))
    zero = body.op("Mul", body.op("Slice", q, first, _axes(body, 1), axis), 0)
    before = body.op("Concat", zero, body.op("Slice", q, first, last, axis), axis=1)
    change = body.op("Sub", q, before)
    sides = [("GreaterOrEqual", encoder.low), ("LessOrEqual", -encoder.low)]
    return body.op("Concat", *(body.number(body.op(o, change, n)) for o, n in sides), axis=2)


def _drawn(body: Body, encoder: coders.Rate, q: str, step: str) -> str:
    """What a rate code is compared with: [steps, F], of :func:`codesign.spikes.encoders.mix`."""
    elements = body.op("Gather", body.op("Shape", q), 1)
    counter = body.op("Add", body.op("Mul", step, elements), body.op("Range", 0, elements, 1))
    v = _xor(body, body.op("Mod", counter, _TWO32), key(encoder.seed))
    v = _xor(body, v, body.op("Div", v, 1 << 16))
    v = _times(body, v, FIRST_FACTOR)
    v = _xor(body, v, body.op("Div", v, 1 << 15))
    v = _times(body, v, SECOND_FACTOR)
    v = _xor(body, v, body.op("Div", v, 1 << 16))
    return body.op("Div", v, 1 << (32 - encoder.bits))


def _times(body: Body, v: str, factor: int) -> str:
    """``v * factor`` modulo 2^32, in halves: a whole product would not fit int64."""
    high = body.op("Mod", body.op("Mul", v, factor >> 16), 1 << 16)
    low = body.op("Mul", v, factor & 0xFFFF)
    return body.op("Mod", body.op("Add", body.op("Mul", high, 1 << 16), low), _TWO32)


def _xor(body: Body, a: str, b: str | int) -> str:
    """Of 32 bits, which get an axis of their own: opset 17 has no bitwise operators."""
    powers = body.constant(np.int64(1) << np.arange(32, dtype=np.int64))
    wide = body.op("Unsqueeze", a, _axes(body, -1))
    other = b if isinstance(b, int) else body.op("Unsqueeze", b, _axes(body, -1))
    sums = body.op("Add", body.op("Div", wide, powers), body.op("Div", other, powers))
    return body.op("ReduceSum", body.op("Mul", body.op("Mod", sums, 2), powers),
                   _axes(body, -1), keepdims=0)  # fmt: skip


def _of_steps(body: Body, q: str, steps: int) -> str:
    """``q`` itself; running the graph fails where its second axis is not ``steps`` long."""
    found = body.op("Gather", body.op("Shape", q), 1)
    return body.refuse(q, body.op("Not", body.op("Equal", found, steps)))


def _axes(body: Body, axis: int) -> str:
    return body.constant(np.array([axis], dtype=np.int64))


def _smoothed(body: Body, decoder: Bessel, q: str) -> str:
    """A Scan over the steps, with two states a section."""
    zero = body.op("Mul", body.op("Gather", q, 0, axis=1), 0)
    count = 2 * len(decoder.sections.coefficients)
    outputs = [f"z{n}" for n in range(count)]
    loop = helper.make_node("Scan", [*[zero] * count, q], [*outputs, "smoothed"])
    loop.attribute.extend(
        helper.make_attribute(name, value)
        for name, value in {
            "body": _section_loop(decoder),
            "num_scan_inputs": 1,
            "scan_input_axes": [1],
            "scan_output_axes": [1],
        }.items()
    )
    body.nodes.append(loop)
    return "smoothed"


def _section_loop(decoder: Bessel) -> GraphProto:
    """A step of :meth:`codesign.spikes.bessel.Sections.apply`: states and a step in and out."""
    body, sections = Body(INSIDE), decoder.sections
    states = [f"{INSIDE}z{n}" for n in range(2 * len(sections.coefficients))]
    x = body.op("Mul", f"{INSIDE}x", 1 << sections.guard)
    after: list[str] = []
    for n, (b0, b1, b2, a1, a2) in enumerate(sections.coefficients.tolist()):
        z1, z2 = states[2 * n : 2 * n + 2]
        y = body.floor_div(body.op("Add", body.op("Mul", x, b0), z1), 1 << sections.frac)
        new1 = body.op("Sub", body.op("Mul", x, b1), body.op("Mul", y, a1))
        after.append(body.op("Add", new1, z2))
        after.append(body.op("Sub", body.op("Mul", x, b2), body.op("Mul", y, a2)))
        x = y

    given, made = (
        [helper.make_tensor_value_info(name, TensorProto.INT64, None) for name in names]
        for names in ([*states, f"{INSIDE}x"], [*after, x])
    )
    return helper.make_graph(body.nodes, "section", given, made)
