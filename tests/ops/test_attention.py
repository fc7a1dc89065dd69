"""Attention from QONNX to RTL: exact codes, exact latency and interval; softmax against reals."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import factorial, isqrt
from pathlib import Path

import numpy as np
import pytest

from codesign.api import generate
from codesign.errors import UnsupportedModel, UsageError
from codesign.formats import ScaledInt
from codesign.frontend import import_qonnx
from codesign.frontend.execute import execute_batch
from codesign.ir import Value
from codesign.ops.dynamic_matmul import DynamicMatMul
from codesign.passes import lower, lower_softmax
from codesign.reference import run
from tests import attention_models
from tests.attention_models import UNSIGNED, model
from tests.branch_models import Branches
from tests.ops.test_every_op import softmaxed

LARGE = {"tokens": 8, "width": 8, "heads": 2, "bits": 4, "scale": 0.21}
HEADS = [
    pytest.param({}, 24, marks=pytest.mark.slow),
    ({"scale": 0.3}, 40),
    ({"heads": 2}, 24),
    pytest.param(LARGE, 256, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("recipe", "ii"), HEADS)
def test_a_head_from_model_to_rtl(recipe, ii, tmp_path: Path) -> None:
    design = generate(attention_models.head(**recipe), tmp_path / "build", target_ii=ii)
    report = design.verify(random_frames=100, cocotb=False)
    assert report.ok
    assert (report.latency, report.ii) == (design.manifest.latency, design.manifest.ii)
    assert report.ii <= ii


def test_an_encoder_block_from_model_to_rtl(tmp_path: Path) -> None:
    """Heads, residuals around them, normalisations: FIFOs bridge what takes longer."""
    design = generate(attention_models.encoder(), tmp_path / "build", target_ii=256)
    report = design.verify(random_frames=50, cocotb=False)
    assert report.ok
    assert (report.latency, report.ii) == (design.manifest.latency, design.manifest.ii)
    assert {fifo.name for fifo in design.manifest.fifos} >= {"fifo_res1_i0", "fifo_res2_i0"}


def softmax(scores: np.ndarray) -> list[Fraction]:
    """Exact to 2^-80 or so."""

    def exp(x: Fraction) -> Fraction:
        halves = max(0, (abs(x).numerator // abs(x).denominator).bit_length() + 1)
        x /= 1 << halves
        total = sum((x**n / factorial(n) for n in range(25)), Fraction(0))
        for _ in range(halves):
            total = Fraction(round(total * total * (1 << 140)), 1 << 140)
        return total

    top = max(scores)
    words = [exp(Fraction(float(s)) - Fraction(float(top))) for s in scores]
    return [w / sum(words) for w in words]


@pytest.mark.parametrize(("scale", "bits"), [(0.25, 4), (0.3, 8), (0.07, 10), (1.0, 2)])
def test_codes_are_those_of_the_real_softmax(scale: float, bits: int) -> None:
    """Except where float32's own rounding could go either way; each of those is close."""
    imported = import_qonnx(attention_models.weighted(scale, 3, 5, bits))
    lowered = lower(imported.graph)
    rng = np.random.default_rng(5)
    x = rng.normal(0, 1, (40, 3, 6)).astype(np.float32)
    (out,) = lowered.outputs
    codes = run(lowered, {lowered.inputs[0]: x})[out]
    scores = run(imported.graph, {lowered.inputs[0]: x}, keep=["y"])["y"]
    real = imported.graph.values["y"].format.decode(scores).reshape(-1, 5)
    step = Fraction(float(np.float32(1 / ((1 << bits) - 1))))
    for vector, got in zip(real, codes.reshape(-1, 5), strict=True):
        for y, code in zip(softmax(vector), got, strict=True):
            place = y / step
            nearest = round(place)
            distance = abs(abs(place - nearest) - Fraction(1, 2))
            assert int(code) == nearest or distance < place * Fraction(4, 1 << 24)


@pytest.mark.parametrize(
    ("scale", "span", "least"), [(0.000287, 131_000, 8), (0.0004, 120_000, 16), (1e-4, 600_000, 1)]
)
def test_exponentials_of_two_tables_are_as_precise_as_one_needs(scale, span, least) -> None:
    """A quarter of float32's rounding at the least value that matters is four of the last place."""
    op = lower_softmax.softmax_of(scale, span, least)
    assert op is not None and op.fine.size and op.exponentials[0] == 1 << op.bits
    assert len(op.table) + op.fine.size < 4096
    distance = np.linspace(0, len(op.exponentials) - 1, 400).astype(int)
    for d in (*distance, *range(300)):
        exact = (Decimal(-scale) * int(d)).exp() * (1 << op.bits)
        assert abs(int(op.exponentials[d]) - exact) < 1.5  # with the division's 1: below 4
    assert op.exponentials[-1] <= 1 or len(op.exponentials) > span


def test_too_many_distances() -> None:
    assert lower_softmax.softmax_of(1e-6, 10_000_000, 8) is None


def test_scores_of_eight_bits_without_a_quantizer(tmp_path: Path) -> None:
    """Brevitas' attention by default: a product of 8-bit codes goes into the softmax."""
    b = Branches(15)
    x = b.act("x", "a", 0.05, 8)
    q, k = (b.act(b.dense(x, n, 4, 6), n[0], 0.023, 8) for n in ("query", "key"))
    s = b.node("MatMul", [q, b.node("Transpose", [k], "k_t", perm=[0, 2, 1])], "qk")
    y = b.quant(b.node("Softmax", [s], "p", axis=-1), "y", 1 / 255, 0, 8, **UNSIGNED)
    design = generate(model(b, [3, 6], y, [3, 3]), tmp_path / "build", target_ii=40)
    assert "195 x 256 exponentials" in design.manifest.layers[-1].realisation
    assert design.verify(random_frames=200, cocotb=False).ok


def test_differences_from_onnxruntime_are_few() -> None:
    imported = import_qonnx(attention_models.weighted(0.0625, 4, 8, 10))
    x = np.random.default_rng(6).normal(0, 0.3, (500, 4, 6)).astype(np.float32)
    lowered = lower(imported.graph)
    (out,) = lowered.outputs
    codes = run(lowered, {lowered.inputs[0]: x})[out]
    floats = execute_batch(imported, x)[imported.tensor_names[out]]
    assert (lowered.values[out].format.decode(codes) != floats).mean() < 1e-3


@pytest.mark.parametrize(("scale", "bits", "width"), [(0.25, 4, 5), (0.3, 8, 8), (0.07, 10, 3)])
def test_codes_are_those_of_the_real_normalisation(scale: float, bits: int, width: int) -> None:
    """Except where float32's own rounding could go either way; each of those is close."""
    imported = import_qonnx(attention_models.normalized(scale, 3, width, bits))
    graph, lowered = imported.graph, lower(imported.graph)
    x = np.random.default_rng(8).normal(0, 1, (60, 3, 6)).astype(np.float32)
    (out,) = lowered.outputs
    codes = run(lowered, {lowered.inputs[0]: x})[out]
    given = run(graph, {graph.inputs[0]: x}, keep=["y"])["y"]
    step = Fraction(graph.values["y"].format.scale[0])
    (norm,) = (n.op for n in graph.nodes if n.op.kind == "normalize")
    gain, bias = (next(n.op.value for n in graph.nodes if n.op.kind == k) for k in ("mul", "add"))
    for vector, got in zip(given.reshape(-1, width), codes.reshape(-1, width), strict=True):
        values = [Fraction(int(c)) * step for c in vector]
        mean = sum(values) / width
        square = sum((v - mean) ** 2 for v in values) / width + Fraction(norm.epsilon)
        root = Fraction(isqrt(int(square * (1 << 160)))) / (1 << 80)
        for c, (v, code) in enumerate(zip(values, got, strict=True)):
            y = (v - mean) / root * Fraction(float(gain[c])) + Fraction(float(bias[c]))
            place = y / Fraction(2) ** (2 - bits)
            nearest = min(max(round(place), -(1 << (bits - 1))), (1 << (bits - 1)) - 1)
            distance = abs(abs(place - round(place)) - Fraction(1, 2))
            assert int(code) == nearest or distance < Fraction(1 << bits, 1 << 24)


@pytest.mark.parametrize("apart", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_normalisation_from_model_to_rtl(apart: bool, tmp_path: Path) -> None:
    made = attention_models.normalized(0.3, 4, 8, 8, apart)
    design = generate(made, tmp_path / "build", target_ii=64)
    report = design.verify(random_frames=100, cocotb=False)
    assert report.ok
    assert (report.latency, report.ii) == (design.manifest.latency, design.manifest.ii)


def test_normalisations_that_are_refused() -> None:
    b = Branches(1)
    y = b.node("LayerNormalization", [b.act("x", "a"), b.const("g", np.ones((3, 6)))], "n", axis=1)
    refuse(model(b, [3, 6], b.act(y, "y"), [3, 6]), "attribute 'axis' is 1")
    b = Branches(1)
    y = b.node("Add", [b.act("x", "a"), b.const("c", np.arange(6))], "sum")
    y = b.node("LayerNormalization", [y, b.const("g", np.ones(6))], "n")
    refuse(model(b, [3, 6], b.act(y, "y"), [3, 6]), "'add' lies between integer codes and it")


def refuse(made, text: str) -> None:
    with pytest.raises(UnsupportedModel) as error:
        lower(import_qonnx(made).graph)
    assert text in str(error.value)


def test_products_that_are_refused() -> None:
    b = Branches(1)
    x = b.act("x", "a")
    y = b.node("MatMul", [x, b.dense(x, "fc", 4, 6)], "mm")
    refuse(model(b, [3, 6], y, [3, 4]), "shapes (3, 6) and (3, 4)")
    b = Branches(1)
    x = b.act("x", "a")
    turned = b.node("Transpose", [x], "t", perm=[0, 2, 1])
    y = b.node("MatMul", [b.node("Sigmoid", [x], "r"), turned],
               "mm")  # fmt: skip
    refuse(model(b, [3, 6], y, [3, 3]), "reads a value that is not quantized")
    with pytest.raises(UnsupportedModel, match="same leading axes"):
        DynamicMatMul((2, 3, 4), (3, 4, 2))
    with pytest.raises(UnsupportedModel, match="different scales"):
        a = Value("a", (2, 2), ScaledInt(-8, 7, (0.5, 0.25)))
        DynamicMatMul((2, 2), (2, 2)).infer(a, a)


def test_a_final_softmax_becomes_argmax(tmp_path: Path) -> None:
    made = softmaxed()
    design = generate(made, tmp_path / "build", target_ii=12, softmax="argmax")
    assert design.verify(random_frames=100, cocotb=False).ok
    assert [layer.op for layer in design.manifest.layers] == ["matvec", "argmax"]
    with pytest.raises(UsageError, match="no final Softmax"):
        generate(attention_models.scores(), tmp_path / "other", softmax="argmax")
    with pytest.raises(UsageError, match="'host' or 'argmax'"):
        generate(made, tmp_path / "other", softmax="none")


def test_softmax_that_is_refused() -> None:
    b = Branches(1)
    y = b.node("Softmax", [b.act("x", "a")], "p", axis=-1)
    y = b.quant(y, "y", 2.0**-30, 0, 4, signed=0, narrow=0, rounding_mode="ROUND")
    refuse(model(b, [3, 6], y, [3, 6]), "tells values below 2^-16 from zero")
    b = Branches(1)
    y = b.node("Add", [b.act("x", "a"), b.const("mask", np.triu(np.ones((6, 6))))], "masked")
    y = b.node("Softmax", [y], "p", axis=-1)
    refuse(model(b, [6, 6], b.act(y, "y"), [6, 6]), "'add' lies between integer codes and it")
