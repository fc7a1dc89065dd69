"""Every QONNX quantizer: codes equal qonnx's at ties, one ulp off, past saturation and near zero;
the tabulated circuit equals the model."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from codesign.errors import UnsupportedModel
from codesign.frontend import import_qonnx
from codesign.frontend.execute import execute_batch
from codesign.ops.float_quant import FloatQuant, Minifloat
from codesign.passes import lower
from codesign.reference import run
from codesign.reference.boundaries import boundaries
from tests.frontend.parts import QUANT, model_of, quant

N = helper.make_node
MODES = [
    "ROUND",
    "HALF_EVEN",
    "CEIL",
    "FLOOR",
    "UP",
    "DOWN",
    "HALF_UP",
    "HALF_DOWN",
    "ROUND_TO_ZERO",
    "floor",
    "round",
]


def hard(shape: tuple[int, ...], scale: float, seed: int = 0, reach: int = 40) -> np.ndarray:
    """Codes, ties, one ulp from ties, at and past saturation, +-1e6, +-1e-30, -0."""
    rng = np.random.default_rng(seed)
    x = (rng.integers(-reach, reach, (100, *shape)) * np.float32(scale)).astype(np.float32)
    half = np.float32(scale) / 2
    x[20:40] += half
    x[40:60] = np.nextafter(x[40:60] + half, np.float32(np.inf))
    x[60:80] = np.nextafter(x[60:80] + half, np.float32(-np.inf))
    x[80:90] *= 1000
    x[90], x[91], x[92], x[93], x[94] = 1e6, -1e6, 1e-30, -1e-30, -0.0
    return x


def same_as_qonnx(proto: object, x: np.ndarray, flips: int = 0) -> None:
    """Every quantizer's codes, and the circuit's outputs."""
    imported = import_qonnx(proto)  # type: ignore[arg-type]
    graph, lowered = imported.graph, lower(imported.graph)
    points = boundaries(graph, imported.tensor_names, imported.tensor_axes)
    keep = [p.value.name for p in points]
    ours = run(graph, {graph.inputs[0]: x}, keep=keep)
    theirs = execute_batch(imported, x, [p.tensor for p in points])
    for point in points:
        codes = ours[point.value.name].reshape(len(x), -1)
        assert (point.codes(theirs[point.tensor]) != codes).sum() <= flips, point.tensor
        format = point.value.format
        assert codes.min() >= format.lo and codes.max() <= format.hi
    got = run(lowered, {lowered.inputs[0]: x})
    for name in graph.outputs:
        assert np.array_equal(got[name], ours[name])


@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(
    st.integers(1, 24),
    st.booleans(),
    st.booleans(),
    st.sampled_from(MODES),
    st.sampled_from([0.25, 0.1, 3.7e-3, 1.0]),
    st.sampled_from([0, 1, -3, 100]),
)
def test_quant(bits: int, signed: bool, narrow: bool, mode: str, scale: float, zero: int) -> None:
    """The quantizer on the float input, then one on its codes."""
    narrow = narrow and bits > 1
    nodes = [
        quant("x", "q", signed=int(signed), narrow=int(narrow), rounding_mode=mode),
        quant("q", "y", scale="s2", bits="b2", rounding_mode=mode),
    ]
    constants = {
        "s": np.float32(scale),
        "z": np.float32(zero),
        "bits": np.float32(bits),
        "s2": np.float32(scale * 2.6),
        "b2": np.float32(4),
    }
    reach = min(1 << bits, 1 << 18) + 5
    if bits == 24:
        constants["z"] = np.float32(0)  # see test_codes_beyond_float32
    same_as_qonnx(model_of(nodes, constants), hard((6,), scale, bits, reach))


def test_codes_beyond_float32() -> None:
    constants = {"s": np.float32(1), "z": np.float32(-3), "bits": np.float32(24)}
    with pytest.raises(UnsupportedModel, match="zero point reach 16777218"):
        import_qonnx(model_of([quant("x", "y", signed=0)], constants))
    with pytest.raises(UnsupportedModel, match="bit width 25"):
        constants["bits"] = np.float32(25)
        import_qonnx(model_of([quant("x", "y")], constants))


@pytest.mark.parametrize("layout", ["last", "first"])
@pytest.mark.parametrize("what", ["scale", "zero", "both"])
def test_per_channel_activations(layout: str, what: str) -> None:
    shape = (1, 3, 2, 4) if layout == "first" else (1, 4, 3)
    form = (1, 3, 1, 1) if layout == "first" else (3,)
    scale = np.float32([0.1, 0.25, 0.6]).reshape(form) if what != "zero" else np.float32(0.1)
    zero = np.float32([0, 3, -5]).reshape(form) if what != "scale" else np.float32(2)
    nodes = [quant("x", "q"), N("Relu", ["q"], ["r"], "r"), quant("r", "y")]
    constants = {"s": scale, "z": zero, "bits": np.float32(4)}
    same_as_qonnx(model_of(nodes, constants, shape=shape), hard(shape[1:], 0.1))


@pytest.mark.parametrize("bits", [1, 2, 8, 16, 24, 25, 31, 32])
@pytest.mark.parametrize("scale", [2.0**-20, 0.0007])
def test_weights_of_many_bits(bits: int, scale: float) -> None:
    """A weight of more than 24 bits is what float32 makes of it, and exactly that."""
    weights = np.random.default_rng(bits).normal(0, 1, (6, 4)).astype(np.float32)
    weights[0, 0] = 1e9
    nodes = [
        quant("x", "q"),
        quant("w", "wq", scale="ws", bits="wb"),
        N("MatMul", ["q", "wq"], ["m"]),
    ]
    constants = {
        "s": np.float32(1),
        "z": np.float32(0),
        "bits": np.float32(4),
        "w": weights,
        "ws": np.float32(scale),
        "wb": np.float32(bits),
    }
    imported = import_qonnx(model_of(nodes, constants, output="m"))
    (dense,) = [n.op for n in imported.graph.nodes if n.op.kind == "dense"]
    from qonnx.custom_op.general.intquant import int_quant

    wanted = int_quant(weights, np.float32(scale), np.float32(0), np.float32(bits), 1, 0, "ROUND")
    assert np.array_equal((dense.weights.T.astype(np.float32) * np.float32(scale)), wanted)


@pytest.mark.parametrize("scale", [1.0, 0.3, [0.5, 1, 2, 0.25, 1, 1]])
def test_bipolar_activations(scale: object) -> None:
    nodes = [
        N("BipolarQuant", ["x", "s"], ["q"], "q", domain=QUANT),
        N("Add", ["q", "b"], ["a"], "a"),
        N("BipolarQuant", ["a", "s"], ["y"], "y", domain=QUANT),
    ]
    constants = {"s": np.float32(scale), "b": np.float32([0.1, -0.4, 5, 0, -1, 1])}
    x = hard((6,), 0.25)
    x[95:] = 0
    same_as_qonnx(model_of(nodes, constants), x)


@pytest.mark.parametrize("mode", ["FLOOR", "floor", "ROUND", "CEIL", "ROUND_TO_ZERO"])
@pytest.mark.parametrize("scale", [0.25, 0.1])
@pytest.mark.parametrize("zero", [0, 8])
def test_trunc_version_1(mode: str, scale: float, zero: int) -> None:
    nodes = [
        quant("x", "q"),
        N("Trunc", ["q", "s", "z", "bits", "out"], ["y"], "y", domain=QUANT, rounding_mode=mode),
    ]
    constants = {
        "s": np.float32(scale),
        "z": np.float32(zero),
        "bits": np.float32(8),
        "out": np.float32(4),
    }
    same_as_qonnx(model_of(nodes, constants), hard((6,), scale, 3, 150))


@pytest.mark.parametrize("mode", ["FLOOR", "ROUND", "CEIL"])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("zero", [0, 16])
def test_trunc_version_2(mode: str, signed: int, zero: int) -> None:
    nodes = [
        quant("x", "q"),
        N(
            "Trunc",
            ["q", "s", "z", "bits", "so", "out"],
            ["y"],
            "y",
            domain=QUANT,
            rounding_mode=mode,
            signed=signed,
            narrow=0,
        ),
    ]
    constants = {
        "s": np.float32(0.1),
        "z": np.float32(zero),
        "bits": np.float32(8),
        "so": np.float32(0.1) * np.float32(8),
        "out": np.float32(4),
    }
    same_as_qonnx(model_of(nodes, constants), hard((6,), 0.1, 3, 150))


def test_average_pool_and_trunc() -> None:
    nodes = [
        quant("x", "q", signed=0),
        N("AveragePool", ["q"], ["a"], "a", kernel_shape=[2, 2], strides=[2, 2]),
        N("Trunc", ["a", "s", "z", "b2", "b3"], ["y"], "y", domain=QUANT, rounding_mode="FLOOR"),
    ]
    constants = {
        "s": np.float32(0.25),
        "z": np.float32(0),
        "bits": np.float32(4),
        "b2": np.float32(4),
        "b3": np.float32(2),
    }
    same_as_qonnx(model_of(nodes, constants, shape=(1, 2, 4, 4)), hard((2, 4, 4), 0.25))


@pytest.mark.parametrize(("scale", "bias"), [(1.0, 0.0), (1.0, -4.0), (2.0, -1.0), (0.5, 0.25)])
@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 2, 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_multithreshold(scale: float, bias: float, shape: tuple, channels: int) -> None:
    table = np.sort(np.random.default_rng(4).normal(0, 1, (channels, 7)).astype(np.float32))
    table[0, :3] = [-0.5, -0.5, 0.25]
    nodes = [
        N(
            "MultiThreshold",
            ["x", "t"],
            ["q"],
            "q",
            domain="finn.custom_op.general",
            out_dtype="UINT4",
            out_scale=scale,
            out_bias=bias,
        ),
        N("Mul", ["q", "f"], ["m"], "m"),
        N(
            "MultiThreshold",
            ["m", "t"],
            ["y"],
            "y",
            domain="finn.custom_op.general",
            out_dtype="UINT4",
            out_scale=scale,
            out_bias=bias,
        ),
    ]
    constants = {"t": np.sort(table, axis=1), "f": np.float32(0.7)}
    same_as_qonnx(model_of(nodes, constants, shape=shape), hard(shape[1:], 0.25))


def test_multithreshold_off_the_grid_is_refused() -> None:
    node = N(
        "MultiThreshold",
        ["x", "t"],
        ["y"],
        "y",
        domain="finn.custom_op.general",
        out_dtype="INT4",
        out_scale=0.3,
        out_bias=0.1,
    )
    with pytest.raises(UnsupportedModel, match="equally spaced"):
        import_qonnx(model_of([node], {"t": np.float32([[0, 1, 2]])}))


FORMATS = {
    "e4m3": (Minifloat(4, 3, 7, 448.0), ml_dtypes.float8_e4m3fn),
    "e5m2": (Minifloat(5, 2, 15, 57344.0), ml_dtypes.float8_e5m2),
    "e3m2": (Minifloat(3, 2, 3, 28.0), ml_dtypes.float6_e3m2fn),
    "e2m3": (Minifloat(2, 3, 1, 7.5), ml_dtypes.float6_e2m3fn),
    "e2m1": (Minifloat(2, 1, 1, 6.0), ml_dtypes.float4_e2m1fn),
    "e4m3b11": (Minifloat(4, 3, 11, 30.0), ml_dtypes.float8_e4m3b11fnuz),
}


@pytest.mark.parametrize("name", FORMATS)
def test_minifloats_are_those_of_ml_dtypes(name: str) -> None:
    """All bfloat16 values, clamped to the format, as an independent implementation rounds them."""
    format, kind = FORMATS[name]
    every = np.arange(1 << 16, dtype=np.uint16).view(ml_dtypes.bfloat16).astype(np.float32)
    x = np.clip(every[np.isfinite(every)], -format.limit, format.limit)
    op = FloatQuant(np.float32(1), format)
    codes = op.evaluate(x)
    assert np.array_equal(op.out_format.decode(codes), x.astype(kind).astype(np.float32))
    assert np.isin(codes, op.levels).all() and np.isin(op.levels, codes).all()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("mode", ["ROUND", "FLOOR", "CEIL", "DOWN"])
def test_float_quant(name: str, mode: str) -> None:
    format, _ = FORMATS[name]
    ports = ["s", "e", "m", "b", "top"]
    nodes = [
        N(
            "FloatQuant",
            ["x", *ports],
            ["q"],
            "q",
            domain=QUANT,
            rounding_mode=mode,
            saturation=1,
            has_inf=0,
            has_nan=1,
            has_subnormal=1,
        ),
        N("Mul", ["q", "f"], ["g"], "g"),
        N(
            "FloatQuant",
            ["g", *ports],
            ["y"],
            "y",
            domain=QUANT,
            rounding_mode=mode,
            saturation=1,
            has_inf=0,
            has_nan=1,
            has_subnormal=1,
        ),
    ]
    if name == "e5m2":
        nodes = nodes[:1]  # its integers have 33 bits: too many to enumerate where not monotone
        nodes[0].output[0] = "y"
    values = (format.exponent, format.mantissa, format.bias, format.max_value)
    constants = {
        "s": np.float32(0.0371),
        "f": np.float32(0.83),
        **{n: np.float32(v) for n, v in zip(ports[1:], values, strict=True)},
    }
    x = hard((6,), 0.0371 * 2.0**-3)
    powers = np.float32(2.0) ** np.arange(-8, 8, dtype=np.float32) * np.float32(0.0371)
    x[:16] = np.nextafter(powers, np.float32(0))[:, None]
    same_as_qonnx(model_of(nodes, constants), x)


def test_fp8_example() -> None:
    """The public FP8 model, if it is there: its golden activations bit for bit."""
    from pathlib import Path

    folder = Path(__file__).parents[3] / "shared/models/qonnx_fp8"
    if not folder.exists():
        pytest.skip("no ../shared/models")
    imported = import_qonnx(folder / "qonnx_act_weight_fp8.onnx")
    graph, x = imported.graph, np.load(folder / "input.npy")
    golden = np.load(folder / "activation.npz")
    first = graph.nodes[0]
    found = run(graph, {graph.inputs[0]: x}, keep=[first.output])
    assert np.array_equal(
        graph.out(first).format.decode(found[first.output]), golden["input_quant"]
    )
    (dense,) = [n.op for n in graph.nodes if n.op.kind == "dense"]
    weights = (dense.weights * dense.weight_scale[:, None]).astype(np.float32)
    assert np.array_equal(weights, golden["weight_quant"])
    output = np.load(folder / "output.npy")
    assert np.abs(found[graph.outputs[0]] - output).max() < 2e-7  # float32 sums of three products
    lower(graph)
