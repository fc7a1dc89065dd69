"""Sliding windows over channels-last values, as the operations see them."""

from __future__ import annotations

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.hdl.windows.geometry import Geometry

__all__ = ["Geometry", "geometry_of", "out_shape", "pixels_of"]

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


def geometry_of(
    what: str,
    shape: tuple[int, ...],
    kernel: Pair,
    strides: Pair,
    dilations: Pair,
    pads: Pads,
    steps: int = 0,
) -> Geometry:
    """The window ``kernel`` over a value of ``shape`` (H, W, C) or (L, C), the latter as H = 1,
    or over each of so many ``steps``: their axis comes first then.

    ``UnsupportedModel`` (naming ``what``) for another rank or when the window does not fit.
    """
    if steps and shape[:1] != (steps,):
        raise UnsupportedModel(
            f"{what} of {steps} time steps reads a value of shape {shape}",
            hint="the steps are the first axis",
        )
    shape = shape[1:] if steps else shape
    if len(shape) not in (2, 3):
        raise UnsupportedModel(
            f"{what} reads a value of shape {shape}",
            hint="one (L, C) or two (H, W, C) spatial axes are supported",
        )
    size = (1, *shape[:1]) if len(shape) == 2 else shape[:2]
    try:
        return Geometry((size[0], size[1]), kernel, strides, dilations, pads)
    except ValueError as error:
        raise UnsupportedModel(
            f"{what}: {error}", hint="check kernel_shape, pads and the input's size"
        ) from error


def out_shape(geometry: Geometry, rank: int, channels: int, steps: int = 0) -> tuple[int, ...]:
    """Shape of the output of rank ``rank``, ``steps`` counted (one row of L is dropped)."""
    first = (steps,) if steps else ()
    size = geometry.out_size if rank - len(first) == 3 else geometry.out_size[1:]
    return (*first, *size, channels)


def pixels_of(array: np.ndarray, geometry: Geometry, fill: int | float) -> np.ndarray:
    """[B, ..., C] as [maps, H * W + 1, C]: the pixel at index -1, which padding reads, is
    ``fill``. Each step of a frame is a map."""
    flat = array.reshape(-1, geometry.size[0] * geometry.size[1], array.shape[-1])
    return np.pad(flat, ((0, 0), (0, 1), (0, 0)), constant_values=fill)
