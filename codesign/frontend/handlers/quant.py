"""Quantizers: Quant and BipolarQuant, of weights (constants) and of activations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import NodeProto

from codesign.formats import MAX_ACTIVATION_BITS, ScaledInt
from codesign.formats.rounding import ROUNDING
from codesign.frontend.clean import QUANT_DOMAIN
from codesign.frontend.context import Const, Context, Quantized, attributes, handles
from codesign.frontend.layout import fit_constant, varying_last
from codesign.frontend.names import printable
from codesign.ops.bipolar import Bipolar
from codesign.ops.quant import Quant, quantize


@dataclass(frozen=True)
class Settings:
    """Checked parameters of one ``Quant`` node. ``scale`` and ``zero_point``: float32."""

    scale: np.ndarray
    zero_point: np.ndarray
    bits: int
    signed: bool
    narrow: bool
    rounding: str


@handles("Quant", domain=QUANT_DOMAIN)
def quant(ctx: Context, node: NodeProto) -> None:
    """``Quant(x, scale, zero_point, bit_width)``; a constant ``x`` becomes integer codes."""
    settings = read_settings(ctx, node)
    const = ctx.constant(node, 0)
    if const is not None:
        ctx.define(node, quantize_constant(ctx, node, const, settings))
        return
    x = varying_last(ctx, node, ctx.tensor(node, 0), settings.scale, "scale")
    if settings.bits > MAX_ACTIVATION_BITS:
        raise ctx.error(
            node,
            f"bit width {settings.bits}: float32 cannot hold every code",
            f"activations may have 1 to {MAX_ACTIVATION_BITS} bits",
        )
    scale = fit_constant(ctx, node, settings.scale, x, "scale")
    zero_point = fit_constant(ctx, node, settings.zero_point, x, "zero point")
    op = Quant(
        scale,
        zero_point,
        settings.bits,
        settings.signed,
        settings.narrow,
        settings.rounding,
    )
    ctx.emit(node, op, [x.value], tensor=node.output[0], axes=x.axes)


@handles("BipolarQuant", domain=QUANT_DOMAIN)
def bipolar_quant(ctx: Context, node: NodeProto) -> None:
    """``BipolarQuant(x, scale)``: codes -1 and +1."""
    attributes(ctx, node)
    scale = read_scale(ctx, node)
    const = ctx.constant(node, 0)
    if const is not None:
        codes = np.where(const.array >= 0, np.int64(1), np.int64(-1))
        ctx.define(node, quantized_constant(ctx, node, codes, scale, const.source, (-1, 1)))
        return
    x = varying_last(ctx, node, ctx.tensor(node, 0), scale, "scale")
    # The sign does not depend on the scale, and x / scale could round to zero.
    op = Bipolar(fit_constant(ctx, node, scale, x, "scale"))
    ctx.emit(node, op, [x.value], tensor=node.output[0], axes=x.axes)


def quantize_constant(ctx: Context, node: NodeProto, const: Const, settings: Settings) -> Const:
    """Weights or a bias through their quantizer: float32 values and integer codes."""
    array = float32_array(ctx, node, const.array, "the tensor it quantizes")
    for name, parameter in (("scale", settings.scale), ("zero point", settings.zero_point)):
        _check_broadcast(ctx, node, parameter, array.shape, name)
    codes = quantize(
        array,
        settings.scale,
        settings.zero_point,
        bits=settings.bits,
        signed=settings.signed,
        narrow=settings.narrow,
        rounding=settings.rounding,
    )
    offset = settings.zero_point.astype(np.int64)
    span = ScaledInt.of_bits(settings.bits, signed=settings.signed, narrow=settings.narrow)
    limits = span.lo - int(offset.max()), span.hi - int(offset.min())
    return quantized_constant(ctx, node, codes - offset, settings.scale, const.source, limits)


def quantized_constant(
    ctx: Context,
    node: NodeProto,
    codes: np.ndarray,
    scale: np.ndarray,
    source: str,
    limits: tuple[int, int] | None = None,
) -> Const:
    """A constant of integer ``codes`` (zero point subtracted) times ``scale`` (float32).
    ``limits``: the least and greatest code of its format."""
    _check_broadcast(ctx, node, scale, codes.shape, "scale")
    full = np.broadcast_to(scale, codes.shape)
    values = (codes.astype(np.float32) * full).astype(np.float32)
    return Const(values, Quantized(codes, full, limits), source)


def read_settings(ctx: Context, node: NodeProto) -> Settings:
    """Inputs and attributes of a ``Quant`` node, each checked with its own message."""
    if len(node.input) != 4:
        raise ctx.error(
            node, f"Quant has {len(node.input)} inputs", "x, scale, zero_point, bit_width"
        )
    attrs = attributes(ctx, node, signed=1, narrow=1, rounding_mode="ROUND")
    for name in ("signed", "narrow"):
        if attrs[name] not in (0, 1):
            raise ctx.error(node, f"attribute '{name}' is {attrs[name]}", "it must be 0 or 1")
    rounding = read_rounding(ctx, node, attrs)
    bits = read_bits(ctx, node, 3)
    return Settings(
        scale=read_scale(ctx, node),
        zero_point=read_zero_point(ctx, node),
        bits=bits,
        signed=bool(attrs["signed"]),
        narrow=bool(attrs["narrow"]),
        rounding=rounding,
    )


def read_rounding(ctx: Context, node: NodeProto, attrs: dict[str, object]) -> str:
    """The rounding mode, in upper case."""
    rounding = str(attrs["rounding_mode"]).upper()
    if rounding not in ROUNDING:
        modes = ", ".join(sorted(ROUNDING))
        raise ctx.error(
            node,
            f"rounding mode '{printable(rounding, 40)}' is not supported",
            f"supported: {modes}",
        )
    return rounding


def read_parameter(ctx: Context, node: NodeProto, index: int, name: str) -> np.ndarray:
    """Input ``index``, which must be known at import."""
    const = ctx.constant(node, index)
    if const is None:
        missing = index >= len(node.input) or not node.input[index]
        what = "is missing" if missing else "is computed while the network runs"
        raise ctx.error(node, f"the {name} {what}", "quantizer parameters must be constants")
    return const.array


def read_bits(ctx: Context, node: NodeProto, index: int, what: str = "bit width") -> int:
    """A bit width: one integer from 1 to 32."""
    bits = read_parameter(ctx, node, index, what)
    if bits.size != 1:
        raise ctx.error(node, "it has one bit width per channel", "use one bit width per tensor")
    width = float(bits.ravel()[0])
    if width != int(width):
        raise ctx.error(
            node, f"bit width {width:g} is not an integer", "use a whole number of bits"
        )
    if not 1 <= width <= 32:
        raise ctx.error(node, f"bit width {width:g} is out of range", "use 1 to 32 bits")
    return int(width)


def read_scale(ctx: Context, node: NodeProto, index: int = 1) -> np.ndarray:
    """The scale: float32, positive."""
    scale = float32_array(ctx, node, read_parameter(ctx, node, index, "scale"), "the scale")
    if scale.size == 0:
        raise ctx.error(node, "the scale is empty", "give one scale per tensor or per channel")
    if not (np.isfinite(scale) & (scale > 0)).all():
        bad = float(scale[~(np.isfinite(scale) & (scale > 0))].ravel()[0])
        raise ctx.error(node, f"the scale is {bad:g}", "scales must be positive and finite")
    return scale


def read_zero_point(ctx: Context, node: NodeProto) -> np.ndarray:
    """The zero point: integral values, as float32."""
    array = read_parameter(ctx, node, 2, "zero point")
    if not (array == np.round(array)).all():
        raise ctx.error(node, "the zero point is not an integer", "use an integer zero point")
    if np.abs(array.astype(np.float64)).max(initial=0) > 1 << 24:
        raise ctx.error(node, "the zero point exceeds 2^24", "use a smaller zero point")
    if array.dtype.kind in "iu" and array.dtype.itemsize > 2 and array.any():
        raise ctx.error(
            node,
            f"the zero point is {array.dtype}, which qonnx would add in float64",
            "store the zero point as float32",
        )
    return array.astype(np.float32)


def float32_array(ctx: Context, node: NodeProto, array: np.ndarray, what: str) -> np.ndarray:
    """``array``, refused unless it is float32."""
    if array.dtype != np.float32:
        raise ctx.error(
            node, f"{what} is {array.dtype}, not float32", "export the model in float32"
        )
    return array


def _check_broadcast(
    ctx: Context, node: NodeProto, array: np.ndarray, shape: tuple[int, ...], name: str
) -> None:
    try:
        fits = np.broadcast_shapes(array.shape, shape) == shape or array.size == 1
    except ValueError:
        fits = False
    if not fits:
        raise ctx.error(
            node,
            f"the {name} has shape {array.shape}, the tensor {shape}",
            f"give one {name} per tensor or one per channel",
        )
