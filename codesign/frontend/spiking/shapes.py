"""Shapes that the layers of a spiking network make."""

from __future__ import annotations

from math import prod

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.frontend.names import printable
from codesign.frontend.spiking.layers import (
    Chosen,
    Conv,
    Dense,
    Flatten,
    Layer,
    MaxPool,
    Scaled,
    Shape,
    WindowSum,
    window_size,
)
from codesign.frontend.window import MAX_ELEMENTS


def output_shape(layer: Layer, shape: Shape) -> Shape:
    """Shape that ``layer`` makes of ``shape``; :class:`UnsupportedModel` where it cannot, or where
    its own numbers make no sense."""
    _sound(layer)
    out = _output_shape(layer, shape)
    if prod(out) > MAX_ELEMENTS:
        what = f"it gives a value of shape {out}, of more than {MAX_ELEMENTS} elements"
        hint = "check its sizes, strides and padding"
        raise UnsupportedModel(what, where=printable(layer.name), hint=hint)
    return out


def _output_shape(layer: Layer, shape: Shape) -> Shape:
    if isinstance(layer, Dense):
        _check(layer, shape == (layer.weight.shape[1],), f"({layer.weight.shape[1]},)", shape)
        return (layer.weight.shape[0],)
    if isinstance(layer, Conv):
        wanted = layer.weight.shape[1] * layer.groups
        fits = len(shape) == layer.weight.ndim - 1 and shape[0] == wanted
        _check(layer, fits, f"{wanted} channels and {layer.weight.ndim - 2} axes", shape)
        sizes = zip(
            shape[1:], layer.weight.shape[2:], layer.stride, layer.padding, layer.dilation,
            strict=True,
        )  # fmt: skip
        out = (layer.weight.shape[0], *(window_size(n, k, s, *p, d) for n, k, s, p, d in sizes))
        _check(layer, min(out) > 0, "an input at least as large as its kernel", shape)
        return out
    if isinstance(layer, WindowSum | MaxPool):
        _check(layer, len(shape) == 1 + len(layer.kernel), f"{len(layer.kernel)} axes", shape)
        windows = zip(shape[1:], layer.kernel, layer.stride, layer.padding, strict=True)
        out = (shape[0], *(window_size(n, k, s, p, p, 1) for n, k, s, p in windows))
        _check(layer, min(out) > 0, "an input at least as large as its window", shape)
        return out
    if isinstance(layer, Flatten):
        _check(layer, 0 <= layer.first <= layer.last < len(shape), "axes it has", shape)
        middle = prod(shape[layer.first : layer.last + 1])
        return (*shape[: layer.first], middle, *shape[layer.last + 1 :])
    if isinstance(layer, Scaled | Chosen):
        n = len(layer.factor if isinstance(layer, Scaled) else layer.keep)
        _check(layer, n in (1, shape[0]), f"{n} channels", shape)
    return shape


def _sound(layer: Layer) -> None:
    """Sizes that files and modules hold without looking at them."""
    if isinstance(layer, Dense | Conv):
        _least(layer, "weight sizes", layer.weight.shape, 1)
        if layer.bias is not None and np.shape(layer.bias) != layer.weight.shape[:1]:
            what = f"a bias of shape {np.shape(layer.bias)} for {len(layer.weight)} outputs"
            raise UnsupportedModel(what, where=printable(layer.name), hint="give one for each")
    if isinstance(layer, Conv):
        axes = layer.weight.ndim - 2
        both = tuple(sum(layer.padding, ()))
        _least(layer, "strides", layer.stride, 1, axes)
        _least(layer, "dilations", layer.dilation, 1, axes)
        _least(layer, "paddings", both, 0, 2 * axes)
        _least(layer, "groups", (layer.groups,), 1)
        if len(layer.weight) % layer.groups:
            what = f"{len(layer.weight)} outputs in {layer.groups} groups"
            hint = "groups divide the channels on both sides"
            raise UnsupportedModel(what, where=printable(layer.name), hint=hint)
    if isinstance(layer, WindowSum | MaxPool):
        axes = len(layer.kernel)
        _least(layer, "window sizes", layer.kernel, 1)
        _least(layer, "strides", layer.stride, 1, axes)
        _least(layer, "paddings", layer.padding, 0, axes)


def _least(
    layer: Layer, what: str, found: tuple[int, ...], least: int, count: int | None = None
) -> None:
    if min(found, default=least) < least or count not in (None, len(found)):
        wanted = "" if count is None else f"{count} of them, "
        raise UnsupportedModel(
            f"{what} {', '.join(map(str, found))}",
            where=printable(layer.name),
            hint=f"it needs {wanted}each at least {least}",
        )


def _check(layer: Layer, fits: bool, wanted: str, found: Shape) -> None:
    if not fits:
        what = f"it takes {wanted}, a value of shape {found} arrives"
        hint = "check the order of the layers and the shape of the input"
        raise UnsupportedModel(what, where=printable(layer.name), hint=hint)
