"""MultiThreshold: the quantizer of models that FINN has streamlined."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from onnx import NodeProto

from codesign.formats.rounding import product_to_float32
from codesign.frontend.clean import QUANT_DOMAIN
from codesign.frontend.context import Context, attributes, handles
from codesign.frontend.handlers.quant import read_parameter
from codesign.frontend.layout import Tensor, identity, to_axes
from codesign.ops.multithreshold import MultiThreshold

#: qonnx's guess where no layout is given, by rank with the batch.
_LAYOUTS = {2: "NC", 3: "NWC", 4: "NCHW"}


@handles("MultiThreshold", domain=QUANT_DOMAIN)
def multithreshold(ctx: Context, node: NodeProto) -> None:
    """``MultiThreshold(x, thresholds [C or 1, n])``: ``out_scale * count(x >= T) + out_bias``."""
    attrs = attributes(ctx, node, out_scale=1.0, out_bias=0.0, out_dtype="", data_layout="")
    if len(node.input) != 2 or ctx.constant(node, 0) is not None:
        raise ctx.error(node, "it needs a computed value and constant thresholds")
    table = read_parameter(ctx, node, 1, "threshold table")
    if table.ndim != 2 or not table.size:
        raise ctx.error(node, f"the thresholds have shape {table.shape}", "they need [C, n]")
    exact = table.astype(np.float32)
    if (exact.astype(np.float64) != table.astype(np.float64)).any():
        raise ctx.error(node, "a threshold has no exact float32 form", "export float32 thresholds")
    x = _channels_last(ctx, node, ctx.tensor(node, 0), str(attrs["data_layout"]), len(table))
    scale, bias = np.float32(attrs["out_scale"]), np.float32(attrs["out_bias"])  # type: ignore
    unit, step, first = _grid(ctx, node, scale, bias, table.shape[1])
    op = MultiThreshold(exact, unit, first, step)
    ctx.emit(node, op, [x.value], tensor=node.output[0], axes=x.axes)


def _channels_last(ctx: Context, node: NodeProto, x: Tensor, layout: str, channels: int) -> Tensor:
    """``x`` with the axis that the thresholds belong to last in the IR."""
    layout = layout or _LAYOUTS.get(x.rank + 1, "NC")
    axis = (layout.index("C") if "C" in layout else 1) - 1
    if not 0 <= axis < x.rank or channels not in (1, x.shape[axis]):
        raise ctx.error(
            node,
            f"thresholds for {channels} channels meet a value of shape (batch, "
            f"{', '.join(map(str, x.shape))}) with layout '{layout}'",
            "set attribute 'data_layout'",
        )
    if channels == 1 or x.axes[axis] == x.rank - 1:
        return x
    order = [a for a in identity(x.rank) if a != axis] + [axis]
    return to_axes(ctx, node, x, tuple(order.index(a) for a in identity(x.rank)))


def _grid(
    ctx: Context, node: NodeProto, scale: np.float32, bias: np.float32, count: int
) -> tuple[float, int, int]:
    """(unit, step, first): the output for ``k`` thresholds is ``unit * (first + step * k)``, bit
    for bit what float32 gives."""
    if not np.isfinite(scale) or not np.isfinite(bias) or scale <= 0:
        raise ctx.error(node, f"out_scale is {scale}, out_bias {bias}", "out_scale is positive")
    k = np.arange(count + 1)
    wanted = scale * k.astype(np.float32) + bias
    for parts in (1, 2, 4):
        unit = float(scale) / parts
        first = int(round(Fraction(float(bias)) / Fraction(unit)))
        if np.array_equal(product_to_float32(first + parts * k, np.asarray(unit)), wanted):
            return unit, parts, first
    raise ctx.error(
        node,
        f"out_scale {scale} and out_bias {bias} do not give equally spaced float32 values",
        "use out_scale 1 and an integer out_bias, and scale afterwards (Mul)",
    )
