"""QuantizeLinear and DequantizeLinear: ONNX's own quantizers, as onnxruntime computes them.

An integer tensor of the file and the float tensor that DequantizeLinear makes of it are one value
here: integer codes with a scale and a zero point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, TensorProto, helper

from codesign.formats import ScaledInt
from codesign.frontend.context import Const, Context, Quantized, attributes, handles
from codesign.frontend.handlers.quant import float32_array, read_parameter
from codesign.frontend.layout import Tensor, fit_constant, varying_last
from codesign.frontend.names import printable
from codesign.ops.quant import Quant, quantize
from codesign.ops.reinterpret import Reinterpret

#: Integer element types: bits, signed.
INTEGERS = {
    "int4": (4, True), "uint4": (4, False), "int8": (8, True), "uint8": (8, False),
    "int16": (16, True), "uint16": (16, False), "int32": (32, True),
}  # fmt: skip
#: Those of onnxruntime's own domain, com.microsoft.
CONTRIB = frozenset(
    {"QLinearAdd", "QLinearMul", "QLinearAveragePool", "QLinearGlobalAveragePool", "QGemm"}
    | {"QLinearConcat", "QLinearSigmoid", "QLinearLeakyRelu"}
)
#: Operators that may read an integer tensor: they say themselves what its codes mean, or ...
AWARE = frozenset(
    {"DequantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger", "ConvInteger"} | CONTRIB
)
#: ... move its elements only.
MOVES = frozenset(
    {"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Slice", "Concat"}
    | {"Split", "MaxPool", "GlobalMaxPool", "DepthToSpace", "SpaceToDepth", "Gather", "Expand"}
)


@dataclass(frozen=True)
class Line:
    """``value = scale * (code - zero_point)``: float32 scales shaped to broadcast against the
    tensor with its batch, one integer zero point, and the codes' type."""

    scale: np.ndarray
    zero_point: int
    bits: int
    signed: bool


def read_line(
    ctx: Context, node: NodeProto, rank: int, *, at: int = 1, axis: int = 1, kind: str = ""
) -> Line:
    """Scale and zero point at inputs ``at`` and ``at + 1``; ``rank`` counts the batch; ``kind``
    is the codes' type where the zero point does not say."""
    scale = float32_array(ctx, node, read_parameter(ctx, node, at, "scale"), "the scale")
    if not scale.size or not (np.isfinite(scale) & (scale > 0)).all():
        raise ctx.error(node, "a scale is not positive and finite", "export the model again")
    zero = ctx.constant(node, at + 1)
    if zero is None and at + 1 < len(node.input) and node.input[at + 1]:
        raise ctx.error(
            node, "the zero point is computed while the network runs", "make it constant"
        )
    name = str(zero.array.dtype) if zero is not None else kind or "uint8"
    if name not in INTEGERS:
        raise ctx.error(node, f"the zero point is {name}", f"supported: {', '.join(INTEGERS)}")
    values = zero.array.astype(np.int64).ravel() if zero is not None else np.zeros(1, np.int64)
    if (values != values[0]).any():
        raise ctx.error(node, "the zero points differ", "use one zero point per tensor")
    return Line(_along(ctx, node, scale, rank, axis), int(values[0]), *INTEGERS[name])


def _along(ctx: Context, node: NodeProto, scale: np.ndarray, rank: int, axis: int) -> np.ndarray:
    """``scale`` [] or [1] or [n], the latter along ``axis`` of a tensor of ``rank`` axes."""
    if scale.size == 1:
        return scale.reshape(())
    if scale.ndim != 1:
        raise ctx.error(node, f"the scale has shape {scale.shape}", "blocks are not supported")
    axis += rank if axis < 0 else 0
    if not 0 <= axis < rank:
        raise ctx.error(node, f"attribute 'axis' is {axis}", f"the tensor has {rank} axes")
    return scale.reshape([-1 if a == axis else 1 for a in range(rank)])


def as_codes(ctx: Context, node: NodeProto, x: Tensor, line: Line, tensor: str = "") -> Tensor:
    """``x`` read as ``line`` says; ``tensor`` is the name of the float tensor this makes."""
    format = x.value.format
    if not isinstance(format, ScaledInt):
        raise ctx.error(
            node, "it reads a value that is not quantized", "put a QuantizeLinear before it"
        )
    x = varying_last(ctx, node, x, line.scale, "scale")
    scale = tuple(float(s) for s in fit_constant(ctx, node, line.scale, x, "scale").ravel())
    if (format.scale, format.zero_point) != (scale, line.zero_point):
        op = Reinterpret(x.value.shape, scale, line.zero_point)
        value = ctx.emit(node, op, [x.value], tensor=tensor, suffix="codes", axes=x.axes)
        return Tensor(value, x.axes)
    if tensor:
        ctx.tensors[tensor] = x
        ctx.tensor_names.setdefault(x.value.name, tensor)
        ctx.tensor_axes.setdefault(x.value.name, x.axes)
    return x


def check_readers(ctx: Context, node: NodeProto, name: str) -> None:
    """Refuse an integer tensor that something else than an integer operator reads."""
    for reader in ctx.readers(name):
        if reader.op_type in MOVES:
            for out in reader.output:
                check_readers(ctx, node, out)
        elif reader.op_type not in AWARE:
            raise ctx.error(
                node,
                f"its integer codes are read by '{printable(reader.op_type)}'",
                "put a DequantizeLinear between them",
            )


def integer_result(ctx: Context, node: NodeProto, op: Quant | None, x: Tensor, line: Line) -> None:
    """The node's output: codes of ``line``, made by ``op`` from ``x``, or ``x`` itself."""
    name = node.output[0]
    check_readers(ctx, node, name)
    value = x.value if op is None else ctx.emit(node, op, [x.value], axes=x.axes)
    made = Tensor(value, x.axes)
    if name == ctx.model.graph.output[0].name:
        raw = Line(np.ones((), dtype=np.float32), 0, line.bits, line.signed)
        made = as_codes(ctx, node, made, raw, name)
    ctx.tensors[name] = made


@handles("QuantizeLinear")
def quantize_linear(ctx: Context, node: NodeProto) -> None:
    """``saturate(round_half_even(x / scale) + zero_point)``."""
    attrs = attributes(ctx, node, axis=1, saturate=1, block_size=0, output_dtype=0, precision=0)
    if attrs["block_size"] or attrs["precision"] not in (0, TensorProto.FLOAT):
        raise ctx.error(node, "blocks and other precisions are not supported", "use float32")
    kinds = {getattr(TensorProto, name.upper()): name for name in INTEGERS}
    kind = attrs["output_dtype"]
    if kind and kind not in kinds:
        raise ctx.error(node, f"attribute 'output_dtype' is {kind}", ", ".join(INTEGERS))
    const = ctx.constant(node, 0)
    x = None if const is not None else ctx.tensor(node, 0)
    rank = const.array.ndim if const is not None else x.rank + 1 if x else 0
    line = read_line(ctx, node, rank, axis=int(str(attrs["axis"])), kind=kinds.get(kind, ""))
    if line.bits > 16:
        raise ctx.error(node, "it quantizes to int32", "use int4 to int16")
    if const is not None:
        codes = quantize(
            float32_array(ctx, node, const.array, "the tensor it quantizes"),
            line.scale,
            np.asarray(line.zero_point, np.float32),
            bits=line.bits,
            signed=line.signed,
            narrow=False,
            rounding="ROUND",
            integer_zero=True,
        )
        dtype = helper.tensor_dtype_to_np_dtype(_element_type(line))
        ctx.define(node, Const(codes.astype(dtype), None, const.source))
        return
    assert x is not None
    x = varying_last(ctx, node, x, line.scale, "scale")
    clip, (bits, narrow) = _clip_after(ctx, node, line)
    op = Quant(
        fit_constant(ctx, node, line.scale, x, "scale"),
        np.asarray(line.zero_point, np.float32),
        bits,
        line.signed,
        narrow,
        integer_zero=True,
    )
    integer_result(ctx, clip or node, op, x, line)


def _element_type(line: Line) -> int:
    name = next(n for n, kind in INTEGERS.items() if kind == (line.bits, line.signed))
    return int(getattr(TensorProto, name.upper()))


def _clip_after(
    ctx: Context, node: NodeProto, line: Line
) -> tuple[NodeProto | None, tuple[int, bool]]:
    """A Clip of the integer codes, which exporters write for narrower quantizers, with the
    (bits, narrow) it leaves; it is done here, its own handler finds its output made."""
    readers = ctx.readers(node.output[0])
    if len(readers) != 1 or readers[0].op_type != "Clip":
        return None, (line.bits, False)
    clip = readers[0]
    full = ScaledInt.of_bits(line.bits, signed=line.signed)
    ends = [full.lo, full.hi]
    for index in (1, 2):
        if index < len(clip.input) and clip.input[index]:
            const = ctx.constant(clip, index)
            if const is None:
                raise ctx.error(clip, "its bounds are computed", "make them constant")
            ends[index - 1] = int(const.array.ravel()[0])
    low, high = max(ends[0], full.lo), min(ends[1], full.hi)
    for bits in range(1, line.bits + 1):
        for narrow in (False, True):
            span = ScaledInt.of_bits(bits, signed=line.signed, narrow=narrow)
            if (span.lo, span.hi) == (low, high) and not (bits == 1 and line.signed):
                return clip, (bits, narrow)
    raise ctx.error(
        clip,
        f"it clips integer codes to {ends[0]}..{ends[1]}",
        "clip to the whole range of a number of bits, with or without its lowest code",
    )


@handles("DequantizeLinear")
def dequantize_linear(ctx: Context, node: NodeProto) -> None:
    """``(x - zero_point) * scale``; of a constant: quantized weights or a bias."""
    attrs = attributes(ctx, node, axis=1, block_size=0, output_dtype=0)
    if attrs["block_size"] or attrs["output_dtype"] not in (0, TensorProto.FLOAT):
        raise ctx.error(node, "blocks and other precisions are not supported", "use float32")
    axis = int(str(attrs["axis"]))
    const = ctx.constant(node, 0)
    if const is None:
        x = ctx.tensor(node, 0)
        line = read_line(ctx, node, x.rank + 1, axis=axis)
        as_codes(ctx, node, x, line, node.output[0])
        return
    array = const.array
    if str(array.dtype) not in (*INTEGERS, "int64"):
        raise ctx.error(node, f"it reads {array.dtype}", f"supported: {', '.join(INTEGERS)}")
    codes, scale = _dequantized(ctx, node, array.astype(np.int64), axis)
    values = (codes.astype(np.float32) * scale).astype(np.float32)
    limits = _limits(str(array.dtype), array.astype(np.int64) - codes)
    ctx.define(node, Const(values, Quantized(codes, scale, limits), const.source))


def _limits(kind: str, zero: np.ndarray) -> tuple[int, int] | None:
    """Least and greatest code of an integer type after ``zero`` is subtracted."""
    if kind not in INTEGERS:
        return None
    bits, signed = INTEGERS[kind]
    span = ScaledInt.of_bits(bits, signed=signed)
    return span.lo - int(zero.max(initial=0)), span.hi - int(zero.min(initial=0))


def _dequantized(
    ctx: Context, node: NodeProto, codes: np.ndarray, axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Codes without their zero points (which may differ along ``axis``), and full scales."""
    scale = float32_array(ctx, node, read_parameter(ctx, node, 1, "scale"), "the scale")
    if not scale.size or not (np.isfinite(scale) & (scale > 0)).all():
        raise ctx.error(node, "a scale is not positive and finite", "export the model again")
    zero = ctx.constant(node, 2)
    if zero is not None:
        codes = codes - _along(ctx, node, zero.array.astype(np.int64), codes.ndim, axis)
    wide = _along(ctx, node, scale, codes.ndim, axis)
    try:
        return codes, np.broadcast_to(wide, codes.shape)
    except ValueError:
        raise ctx.error(
            node, f"the scale has shape {scale.shape}, the tensor {codes.shape}", "export again"
        ) from None


@handles("DynamicQuantizeLinear")
def dynamic_quantize_linear(ctx: Context, node: NodeProto) -> None:
    """Refused: its scale depends on the data."""
    raise ctx.error(
        node,
        "its scale is computed from each input while the network runs",
        "quantize statically: calibrate, and export QuantizeLinear with a constant scale",
    )
