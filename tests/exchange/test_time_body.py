"""Encoders and decoders as standard operators: onnxruntime computes every code that we do."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, checker, helper, numpy_helper

from codesign.errors import UnsupportedModel
from codesign.exchange import decoder_node, encoder_node, inline, recompose, with_functions
from codesign.exchange.domain import DOMAIN, VERSION
from codesign.exchange.inline import decompose
from codesign.exchange.step import port
from codesign.spikes import coders
from codesign.spikes.bessel import Bessel, Sections, design

SOME = settings(derandomize=True, deadline=None, database=None, max_examples=25)
SECOND, FOURTH = design(2, 0.3, 10, 6), design(4, 0.2, 12, 8)
NEAR = Sections(np.array([[7, -3, 2, -9, 3]]), 3, 1)


@st.composite
def encoders(draw: st.DrawFn) -> coders.Encoder:
    """Any kind, of any width up to 16 bits, T = 1 among its steps."""
    kind = draw(st.sampled_from(["rate", "latency", "direct", "count", "delta"]))
    bits, steps, frac = draw(st.integers(2, 16)), draw(st.integers(1, 9)), draw(st.integers(-3, 16))
    signed = draw(st.booleans())
    if kind == "rate":
        return coders.Rate(steps, bits, frac, seed=draw(st.integers(0, (1 << 31) - 1)))
    if kind == "latency":
        return coders.Latency(steps, bits, frac, low=draw(st.integers(0, (1 << bits) - 1)))
    if kind == "direct":
        return coders.Direct(steps, bits, frac, signed=signed)
    if kind == "delta":
        low = draw(st.integers(1, (1 << bits) - 1))
        return coders.Delta(steps, bits, frac, low=low, signed=signed)
    form = draw(st.sampled_from(coders.Count.forms))
    bits = min(bits, 5)
    return coders.Count(max(steps, bits if form == "bitwise" else 1 << bits), bits, frac, form=form)


def alone(node: NodeProto, shape: tuple[int, ...], made: tuple[int, ...]) -> ModelProto:
    graph = helper.make_graph([node], "alone", [port("x", shape)], [port("y", made)])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def run(model: ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": x.astype(np.float32)})[0]


def codes_of(lo: int, hi: int, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Any codes; the first frame is the least, the second the greatest."""
    q = np.random.default_rng(seed).integers(lo, hi + 1, shape)
    q[0], q[1] = lo, hi
    return q


@SOME
@given(encoders(), st.integers(1, 4), st.integers(0, 99))
def test_bodies_encode(encoder: coders.Encoder, features: int, seed: int) -> None:
    shape = (4, *((encoder.steps, features) if encoder.over_time else (features,)))
    q = codes_of(*encoder.span, shape, seed)
    model = alone(encoder_node(encoder, "e", "x", "y"), shape, (4, *encoder.out_shape(shape[1:])))
    wanted = np.ldexp(encoder.encode(q), -encoder.out_frac)
    assert np.array_equal(run(inline(model), np.ldexp(q, -encoder.frac)), wanted)


@SOME
@given(
    st.sampled_from([SECOND, FOURTH, NEAR]),
    st.integers(1, 12),
    st.integers(1, 6),
    st.booleans(),
    st.integers(-2, 6),
)
def test_bodies_decode(sections: Sections, steps: int, bits: int, signed: bool, frac: int) -> None:
    decoder = Bessel(steps, bits, frac, signed, sections)
    q = codes_of(*decoder.span, (4, steps, 2, 3), steps)
    model = alone(decoder_node(decoder, "d", "x", "y"), q.shape, q.shape)
    wanted = np.ldexp(decoder.decode(q), -decoder.out_frac)
    assert np.array_equal(run(inline(model), np.ldexp(q, -frac)), wanted)
    assert wanted.max() <= decoder.out_span(*decoder.span)[1] * 2.0**-decoder.out_frac
    assert wanted.min() >= decoder.out_span(*decoder.span)[0] * 2.0**-decoder.out_frac


@pytest.mark.parametrize("frac", [0, 3])
def test_functions_run_and_are_taken_out_again(frac: int) -> None:
    decoder = Bessel(5, 4, frac, True, FOURTH)
    model = alone(decoder_node(decoder, "d", "x", "y"), (2, 5, 3), (2, 5, 3))
    whole = with_functions(model)
    checker.check_model(whole, full_check=True)
    q = codes_of(-8, 7, (2, 5, 3), 1)
    assert np.array_equal(run(whole, np.ldexp(q, -frac)), run(inline(model), np.ldexp(q, -frac)))
    assert recompose(decompose(model)).graph == model.graph


REFUSED = {
    "another code": (coders.Latency(3, 4, 2, low=1), np.full((1, 2), 4.0)),
    "no code": (coders.Latency(3, 4, 2, low=1), np.full((1, 2), 0.1)),
    "other steps": (coders.Delta(3, 4, 2, low=1, signed=True), np.zeros((1, 4, 2))),
    "one step": (coders.Delta(3, 4, 2, low=1, signed=True), np.zeros((1, 1, 2))),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bodies_refuse_what_the_operator_refuses(kind: str) -> None:
    encoder, x = REFUSED[kind]
    model = inline(alone(encoder_node(encoder, "e", "x", "y"), x.shape, (None,) * 3))
    with pytest.raises(Exception, match="out of data bounds|out of bounds"):
        run(model, x)


def test_a_changed_body_is_not_recomposed() -> None:
    """One constant, the smallest change that spikes."""
    encoder = coders.Delta(3, 4, 2, low=2, signed=True)
    plain = decompose(alone(encoder_node(encoder, "e", "x", "y"), (1, 3, 2), (1, 3, 4)))
    (low,) = [n for n in plain.graph.node if n.op_type == "Constant" and value_of(n) == 2]
    low.attribute[0].t.CopyFrom(numpy_helper.from_array(np.array(3, np.int64)))
    with pytest.raises(UnsupportedModel, match="is no longer Constant"):
        recompose(plain)


def value_of(node: NodeProto) -> object:
    found = numpy_helper.to_array(node.attribute[0].t)
    return found.item() if found.ndim == 0 and found.dtype == np.int64 else None
