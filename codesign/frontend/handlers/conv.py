"""Convolutions, plain and transposed, over one or two spatial axes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto

from codesign.frontend.channel_scales import fold_input_scales
from codesign.frontend.coded import coded
from codesign.frontend.context import Context, attributes, handles
from codesign.frontend.layout import Tensor, channels_last, move, to_axes
from codesign.frontend.weights import (
    bias_vector,
    channel_scale,
    constant_weights,
    integer_weights,
    weight_limits,
)
from codesign.frontend.window import (
    AUTO_PADS,
    MAX_ELEMENTS,
    Window,
    integers,
    spatial_rank,
    window,
)
from codesign.ops.add import Add
from codesign.ops.conv import Conv


@handles("Conv")
def conv(ctx: Context, node: NodeProto) -> None:
    """``Conv``: weights [N, C / group, k...], input (batch, C, spatial...)."""
    attrs = attributes(
        ctx, node, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None,
        strides=None,
    )  # fmt: skip
    x, pads = ctx.unpadded(node, 0)
    codes, scale, groups = _weights(ctx, node, attrs, x)
    if len(codes) % groups or codes.shape[1] * groups != x.shape[0]:
        raise ctx.error(
            node,
            f"weights of shape {codes.shape} in {groups} groups meet {x.shape[0]} channels",
            "weights are [N, C / group, kernel...], with N a multiple of group",
        )
    view = window(ctx, node, attrs, x.shape[1:], codes.shape[2:], pads)
    _emit(ctx, node, x, codes, channel_scale(ctx, node, scale), view, groups)


def _weights(
    ctx: Context, node: NodeProto, attrs: dict[str, object], x: Tensor
) -> tuple[np.ndarray, np.ndarray, int]:
    """Codes and scale in the file's shape, and the number of groups; all checked."""
    rank = spatial_rank(ctx, node, x.shape)
    codes, scale = integer_weights(ctx, node, constant_weights(ctx, node))
    if codes.ndim != rank + 2 or 0 in codes.shape:
        raise ctx.error(
            node, f"the weights have shape {codes.shape}", f"they need {rank + 2} axes here"
        )
    kernel = attrs["kernel_shape"]
    if kernel is not None and kernel != list(codes.shape[2:]):
        raise ctx.error(
            node,
            f"attribute 'kernel_shape' is {kernel}, the weights have shape {codes.shape}",
            "they must agree: export the model again",
        )
    groups = attrs["group"]
    if not isinstance(groups, int) or groups < 1:
        raise ctx.error(node, f"attribute 'group' is {groups}", "use 1 or more groups")
    return codes, scale, groups


def _emit(
    ctx: Context,
    node: NodeProto,
    x: Tensor,
    codes: np.ndarray,
    scale: np.ndarray,
    view: Window,
    groups: int,
) -> None:
    """The convolution with weights [N, C / group, k...] and its bias."""
    x = to_axes(ctx, node, x, channels_last(x.rank))
    x = coded(ctx, node, x, "a convolution")
    source, codes, scale = fold_input_scales(ctx, node, x.value, codes, scale, groups)
    weights = np.moveaxis(codes, 1, -1)
    if weights.ndim == 3:
        weights = weights[:, None]
    limits = weight_limits(constant_weights(ctx, node), source is x.value)
    op = Conv(weights, scale, view.strides, view.dilations, view.pads, groups, limits)
    bias = bias_vector(ctx, node, 2, len(codes))
    out = node.output[0]
    value = ctx.emit(node, op, [source], tensor="" if bias is not None else out, axes=x.axes)
    if bias is not None:
        ctx.emit(node, Add(bias), [value], tensor=out, suffix="bias")


@dataclass(frozen=True)
class _Spread:
    """One axis of a transposed convolution: zeros between the inputs, then a plain window."""

    size: int
    stride: int
    before: int  # zeros (or, negative, positions cut away) at either end
    after: int

    def sources(self) -> np.ndarray:
        """int64: the input each position comes from, -1 for a zero; padding not included."""
        spread = np.full((self.size - 1) * self.stride + 1, -1, dtype=np.int64)
        spread[:: self.stride] = np.arange(self.size)
        return spread[max(-self.before, 0) : len(spread) - max(-self.after, 0)]

    @property
    def pads(self) -> tuple[int, int]:
        return max(self.before, 0), max(self.after, 0)


@handles("ConvTranspose")
def conv_transpose(ctx: Context, node: NodeProto) -> None:
    """``ConvTranspose``: zeros inserted between the inputs, then a convolution with the mirrored
    kernel. Weights are [C, N / group, k...]."""
    attrs = attributes(
        ctx, node, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None,
        strides=None, output_padding=None, output_shape=None,
    )  # fmt: skip
    x = ctx.tensor(node, 0)
    codes, scale, groups = _weights(ctx, node, attrs, x)
    if len(codes) != x.shape[0] or len(codes) % groups:
        raise ctx.error(
            node,
            f"weights of shape {codes.shape} in {groups} groups meet {x.shape[0]} channels",
            "weights are [C, N / group, kernel...], with C a multiple of group",
        )
    codes, scale = _mirrored(codes, groups), _mirrored(scale, groups)
    spreads = _spreads(ctx, node, attrs, x.shape[1:], codes.shape[2:])
    x = to_axes(ctx, node, x, channels_last(x.rank))
    x = _insert_zeros(ctx, node, x, spreads)
    plain: dict[str, object] = {
        "strides": None,
        "dilations": attrs["dilations"],
        "auto_pad": "NOTSET",
        "pads": [s.pads[0] for s in spreads] + [s.pads[1] for s in spreads],
    }
    view = window(ctx, node, plain, x.shape[1:], codes.shape[2:])
    _emit(ctx, node, x, codes, channel_scale(ctx, node, scale), view, groups)


def _mirrored(weights: np.ndarray, groups: int) -> np.ndarray:
    """[C, N / g, k...] to [N, C / g, k...] with every kernel axis reversed."""
    c, n, *kernel = weights.shape
    parts = weights.reshape(groups, c // groups, n, *kernel).swapaxes(1, 2)
    return np.flip(parts.reshape(groups * n, c // groups, *kernel), tuple(range(2, weights.ndim)))


def _spreads(
    ctx: Context,
    node: NodeProto,
    attrs: dict[str, object],
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
) -> list[_Spread]:
    n = len(sizes)
    strides = integers(ctx, node, "strides", attrs["strides"], n, 1, 1)
    dilations = integers(ctx, node, "dilations", attrs["dilations"], n, 1, 1)
    extra = integers(ctx, node, "output_padding", attrs["output_padding"], n, 0, 0)
    pads = integers(ctx, node, "pads", attrs["pads"], 2 * n, 0, 0)
    shape = attrs["output_shape"]
    wanted = integers(ctx, node, "output_shape", shape, n, 0, 1) if shape is not None else None
    auto = attrs["auto_pad"]
    if auto not in AUTO_PADS:
        raise ctx.error(node, f"attribute 'auto_pad' is {auto}", f"supported: {AUTO_PADS}")
    found = []
    for i in range(n):
        reach = (kernel[i] - 1) * dilations[i]
        full = strides[i] * (sizes[i] - 1) + reach + 1 + extra[i]
        begin, end = pads[i], pads[n + i]
        if wanted is not None or str(auto).startswith("SAME"):
            out = wanted[i] if wanted is not None else sizes[i] * strides[i]
            if wanted is None and out > full:
                raise ctx.error(
                    node,
                    f"attribute 'auto_pad' is {auto} with a kernel smaller than the stride: ONNX "
                    f"asks for {out} outputs, onnxruntime computes {full}",
                    "give explicit pads and output_padding",
                )
            total = max(full - out, 0)
            begin, end = total - total // 2, total // 2
            if auto == "SAME_UPPER":
                begin, end = end, begin
            extra[i] += max(out - full, 0)
        if full - begin - end < 1:
            raise ctx.error(node, "its pads leave no output", "use smaller pads")
        found.append(_Spread(sizes[i], strides[i], reach - begin, reach - end + extra[i]))
    return found


def _insert_zeros(ctx: Context, node: NodeProto, x: Tensor, spreads: list[_Spread]) -> Tensor:
    """``x`` (channels last) with zeros between its pixels; padding at the ends is left to the
    convolution, but pixels no output sees are cut here."""
    rows = [s.sources() for s in spreads]
    if not all(len(r) for r in rows):
        raise ctx.error(node, "its pads leave no input", "use smaller pads")
    channels = x.shape[0]
    if math.prod(len(r) for r in rows) * channels > MAX_ELEMENTS:
        raise ctx.error(node, "its result is too large for a circuit", "check the strides")
    pixel = np.zeros((1,) * len(rows), dtype=np.int64)
    hole = np.zeros((1,) * len(rows), dtype=bool)
    for axis, source in enumerate(rows):
        along = source.reshape([-1 if a == axis else 1 for a in range(len(rows))])
        pixel = pixel * spreads[axis].size + np.maximum(along, 0)
        hole = hole | (along < 0)
    index = pixel[..., None] * channels + np.arange(channels)
    index = np.where(hole[..., None], -1, index)
    return Tensor(move(ctx, node, x.value, index, axes=x.axes), x.axes)
