"""Trunc, both versions, and FloatQuant."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from codesign.errors import UnsupportedModel
from codesign.formats import MAX_ACTIVATION_BITS
from codesign.formats.rounding import ROUNDING
from codesign.frontend.clean import QUANT_DOMAIN
from codesign.frontend.context import Const, Context, attributes, handles
from codesign.frontend.handlers.quant import (
    quantized_constant,
    read_bits,
    read_parameter,
    read_rounding,
    read_scale,
    read_zero_point,
)
from codesign.frontend.layout import Tensor, fit_constant, varying_last
from codesign.ops.chain import chain_to
from codesign.ops.float_quant import FloatQuant, Minifloat
from codesign.ops.quant import code_range
from codesign.ops.trunc import Trunc


@handles("Trunc", domain=QUANT_DOMAIN)
def trunc(ctx: Context, node: NodeProto) -> None:
    """``Trunc(x, scale, zero_point, in_bits, out_bits)``, version 1, or
    ``Trunc(x, scale, zero_point, in_bits, out_scale, out_bits)``, version 2."""
    if len(node.input) not in (5, 6):
        raise ctx.error(node, f"Trunc has {len(node.input)} inputs", "version 1 has 5, version 2 6")
    if ctx.constant(node, 0) is not None:
        raise ctx.error(node, "it truncates a constant", "truncate the weights before the export")
    attrs = attributes(ctx, node, rounding_mode="FLOOR", signed=1, narrow=0)
    rounding = read_rounding(ctx, node, attrs)
    scale, zero_point = read_scale(ctx, node), read_zero_point(ctx, node)
    x = varying_last(ctx, node, ctx.tensor(node, 0), scale, "scale")
    in_bits = read_bits(ctx, node, 3, "input bit width")
    op = (_version_1 if len(node.input) == 5 else _version_2)(
        ctx, node, x, (scale, zero_point), (in_bits, attrs, rounding)
    )
    ctx.emit(node, op, [x.value], tensor=node.output[0], axes=x.axes)


def _version_1(ctx: Context, node: NodeProto, x: Tensor, line: tuple, how: tuple) -> Trunc:
    """No clipping: the codes are those that occur. The value keeps the scale of the input."""
    (scale, zero_point), (in_bits, _, rounding) = line, how
    dropped = in_bits - read_bits(ctx, node, 4, "output bit width")
    divisor = np.full(1, 2.0**dropped, dtype=np.float32)
    op = Trunc(
        fit_constant(ctx, node, scale, x, "scale"),
        fit_constant(ctx, node, zero_point, x, "zero point"),
        divisor,
        fit_constant(ctx, node, scale, x, "scale"),
        _whole(ctx, node, zero_point),
        0,
        0,
        False,
        rounding,
    )
    lo, hi = _reach(ctx, node, x, op)
    if max(-lo, hi) > 1 << MAX_ACTIVATION_BITS:
        raise ctx.error(node, f"its codes reach {max(-lo, hi)}", "float32 holds up to 2^24")
    return Trunc(op.scale, op.zero_point, divisor, op.out_scale, op.out_zero_point, lo, hi, False,
                 rounding)  # fmt: skip


def _reach(ctx: Context, node: NodeProto, x: Tensor, op: Trunc) -> tuple[int, int]:
    """Least and greatest code that can occur."""
    chain = chain_to(ctx.so_far(), x.value.name)
    if chain is None:
        raise ctx.error(
            node,
            "Trunc (version 1) does not clip, and the range of its input is not known",
            "quantize the values before it, or export Trunc version 2",
        )
    lo, hi = chain.origin.format.lo, chain.origin.format.hi
    if chain.direction().all():
        codes = np.array([lo, hi], dtype=np.int64)
    elif hi - lo < 1 << 16:
        codes = np.arange(lo, hi + 1, dtype=np.int64)
    else:
        raise ctx.error(node, "what is before it is not monotone", "quantize before the Trunc")
    index, _ = chain.classes()
    few = chain.pick(index)
    y = few.evaluate(np.repeat(codes[:, None], len(index), axis=1))
    extremes = np.array([y.min(), y.max()], dtype=np.float32)
    rounded = [ROUNDING[op.rounding](np.round(extremes / s + z) / op.divisor)
               for s in op.scale.ravel() for z in op.zero_point.ravel()]  # fmt: skip
    return int(np.min(rounded)), int(np.max(rounded))


def _version_2(ctx: Context, node: NodeProto, x: Tensor, line: tuple, how: tuple) -> Trunc:
    """Clips to the output bits; the output has a scale of its own, a power of two larger."""
    (scale, zero_point), (_, attrs, rounding) = line, how
    out_scale = read_scale(ctx, node, 4)
    bits = read_bits(ctx, node, 5, "output bit width")
    if bits > MAX_ACTIVATION_BITS:
        raise ctx.error(node, f"output bit width {bits}", f"at most {MAX_ACTIVATION_BITS} bits")
    lo, hi = code_range(bits, signed=False, narrow=bool(attrs["narrow"]))
    if attrs["signed"]:
        lo, hi = -(1 << (bits - 1)) + int(bool(attrs["narrow"])), (1 << (bits - 1)) - 1
    with np.errstate(over="ignore"):
        divisor = np.float32(2) ** np.round(np.log2(out_scale / scale))
    return Trunc(
        fit_constant(ctx, node, scale, x, "scale"),
        fit_constant(ctx, node, zero_point, x, "zero point"),
        fit_constant(ctx, node, divisor, x, "truncation scale"),
        fit_constant(ctx, node, out_scale, x, "output scale"),
        _whole(ctx, node, zero_point / divisor),
        lo,
        hi,
        True,
        rounding,
    )


def _whole(ctx: Context, node: NodeProto, zero_point: np.ndarray) -> int:
    """The zero point of the output codes: one integer."""
    first = float(zero_point.ravel()[0])
    if first != int(first) or (zero_point != zero_point.ravel()[0]).any():
        raise ctx.error(
            node,
            "the zero point is no integer after truncation, or differs per channel",
            "use a zero point that the truncation scale divides",
        )
    return int(first)


@handles("FloatQuant", domain=QUANT_DOMAIN)
def float_quant(ctx: Context, node: NodeProto) -> None:
    """``FloatQuant(x, scale, exponent_bits, mantissa_bits, exponent_bias, max_val)``."""
    if len(node.input) != 6:
        raise ctx.error(
            node,
            f"FloatQuant has {len(node.input)} inputs",
            "x, scale, exponent and mantissa bits, exponent bias, maximum",
        )
    attrs = attributes(ctx, node, has_inf=0, has_infinity=0, has_nan=0, has_subnormal=1,
                       saturation=1, signed=1, rounding_mode="ROUND")  # fmt: skip
    if not attrs["saturation"]:
        raise ctx.error(node, "it overflows to infinity or NaN", "use saturation=1")
    if not attrs["signed"]:
        raise ctx.error(node, "attribute 'signed' is 0", "qonnx executes signed minifloats only")
    scale = read_scale(ctx, node)
    op = FloatQuant(scale, _minifloat(ctx, node), read_rounding(ctx, node, attrs))
    try:
        format = op.out_format
    except UnsupportedModel as error:
        raise ctx.error(node, error.what, error.hint) from None
    const = ctx.constant(node, 0)
    if const is not None:
        ctx.define(node, _float_constant(ctx, node, const, op))
        return
    assert format.lo < 0
    x = varying_last(ctx, node, ctx.tensor(node, 0), scale, "scale")
    op = FloatQuant(fit_constant(ctx, node, scale, x, "scale"), op.format, op.rounding)
    ctx.emit(node, op, [x.value], tensor=node.output[0], axes=x.axes)


def _minifloat(ctx: Context, node: NodeProto) -> Minifloat:
    names = ("exponent bit width", "mantissa bit width", "exponent bias", "maximum")
    found = [read_parameter(ctx, node, i + 2, name) for i, name in enumerate(names)]
    for name, array in zip(names, found, strict=True):
        if array.size != 1:
            raise ctx.error(node, f"the {name} is no single number", "use one per tensor")
    exponent, mantissa, bias, top = (float(a.ravel()[0]) for a in found)
    if not (1 <= exponent <= 8 and 0 <= mantissa <= 23 and abs(bias) < 256 and top > 0):
        raise ctx.error(
            node,
            f"{exponent:g} exponent and {mantissa:g} mantissa bits, bias {bias:g}, maximum {top:g} "
            "are no minifloat",
            "use 1 to 8 exponent bits and 0 to 23 mantissa bits",
        )
    if any(v != int(v) for v in (exponent, mantissa, bias)):
        raise ctx.error(node, "its widths or its bias are no integers", "use whole numbers")
    return Minifloat(int(exponent), int(mantissa), int(bias), top)


def _float_constant(ctx: Context, node: NodeProto, const: Const, op: FloatQuant) -> Const:
    scale = op.scale if op.scale.size > 1 else op.scale.reshape(())
    codes = FloatQuant(scale, op.format, op.rounding).evaluate(const.array)
    step = np.float32(2.0**op.format.least_exponent)
    return quantized_constant(ctx, node, codes, scale * step, const.source)
