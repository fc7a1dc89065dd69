"""Shapes that the layers of a spiking network make."""

from __future__ import annotations

from math import prod

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


def output_shape(layer: Layer, shape: Shape) -> Shape:
    """Shape that ``layer`` makes of ``shape``; :class:`UnsupportedModel` where it cannot."""
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


def _check(layer: Layer, fits: bool, wanted: str, found: Shape) -> None:
    if not fits:
        what = f"it takes {wanted}, a value of shape {found} arrives"
        hint = "check the order of the layers and the shape of the input"
        raise UnsupportedModel(what, where=printable(layer.name), hint=hint)
