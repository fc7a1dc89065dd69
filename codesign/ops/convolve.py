"""Convolve: a constant integer convolution over a stream of codes, as a circuit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from codesign.formats import Format, ScaledInt
from codesign.ir import Value, register
from codesign.ir.plan import Plan
from codesign.ops.convolve_parts import (
    ConvolveParts,
    Layout,
    foldings_of,
    layout_of,
    pixel_options,
)
from codesign.ops.geometry import Geometry, geometry_of, out_shape, pixels_of
from codesign.ops.matvec import matmul_dtype
from codesign.ops.weight_range import LoadableWeights, any_kernel
from codesign.ops.weighted import Folding, Weighted
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

#: Codes gathered at once by the reference: bounds its memory to a few hundred megabytes.
GATHER = 1 << 23


@register("convolve")
@dataclass(frozen=True, eq=False)
class Convolve(Weighted):
    """``acc[p, n] = sum_t,c weights[n, t, c] * x[p + t, c] + bias[n]`` on codes, exact.

    ``weights``: int64 [N, kh, kw, C / groups] (kh = 1 for a value (L, C)). ``bias``: int64 [N].
    ``scale``: what one accumulator step is worth, float64 [N] or [1]. ``pads``: (top, left,
    bottom, right), read as the code ``pad_code``. ``loadable`` as in
    :class:`~codesign.ops.matvec.MatVec` (its zero point is the ``pad_code``). ``steps``: the first
    axis of the value, each step a map of its own (0: there is none). How it is built and what a
    plan may hold: :func:`codesign.ops.convolve_parts.layout_of`.
    """

    weights: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    pad_code: int = 0
    loadable: LoadableWeights | None = None
    steps: int = 0

    slides: ClassVar[bool] = True

    def one_step(self, steps: int) -> Convolve:
        return replace(self, steps=1) if self.steps else self

    def geometry(self, x: Value) -> Geometry:
        """The window over ``x``."""
        _, kh, kw, _ = self.weights.shape
        window = (kh, kw), self.strides, self.dilations, self.pads
        return geometry_of("a convolution", x.shape, *window, self.steps)

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        if self.weights.shape[-1] * self.groups != x.shape[-1]:
            raise ValueError(f"{self.groups} x {self.weights.shape[-1]} weights meet {x.shape}")
        geometry = self.geometry(x)
        lo, hi = self._range(geometry, x.format)
        scale = tuple(float(s) for s in self.scale)
        shape = out_shape(geometry, len(x.shape), len(self.weights), self.steps)
        return shape, ScaledInt(int(lo.min()), int(hi.max()), scale)

    def _range(self, geometry: Geometry, x: Format) -> tuple[np.ndarray, np.ndarray]:
        if self.loadable is None:
            lo, hi = convolution_range(
                self.weights, geometry, self.groups, x.lo, x.hi, self.pad_code
            )
            return lo + self.bias, hi + self.bias
        span = self.loadable
        ends = x.lo - span.zero_point, x.hi - span.zero_point
        least, most = any_kernel((span.lo, span.hi), geometry, self.weights.shape[-1], *ends)
        fixed = span.fixed_bias(self.weights, self.bias)
        return least + fixed, most + fixed

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        geometry = self.geometry(ins[0])
        out = correlate(arrays[0], self.weights, geometry, self.groups, self.pad_code) + self.bias
        rank = len(ins[0].shape)
        shape = out_shape(geometry, rank, len(self.weights), self.steps)
        return out.reshape(len(arrays[0]), *shape)

    @property
    def channels(self) -> int:
        """Input channels."""
        return int(self.weights.shape[-1]) * self.groups

    @property
    def depthwise(self) -> bool:
        """Whether each channel has weights of its own: a different engine when folded."""
        return self.groups > 1 and self.weights.shape[-1] == 1

    def lanes_in(self, plan: Plan) -> int:
        return plan.pixels * self.layout(plan).lanes

    def lanes_out(self, plan: Plan) -> int:
        whole = plan.pixels > 1 or plan.style == "unrolled"
        return plan.pixels * len(self.weights) if whole else plan.pe

    def macs(self) -> int:
        """Multiply-accumulates per output pixel (the map's size is the value's, not the op's)."""
        return int(self.weights.size)

    def frame_macs(self, ins: list[Value]) -> int:
        return self.macs() * self.vectors(ins[0])

    def layout(self, plan: Plan) -> Layout:
        """How the window feeds the multipliers; ``ValueError`` when the folding does not fit."""
        return layout_of(self, plan)

    def folds(self, plan: Plan) -> tuple[int, int]:
        """(NF, SF) of one output pixel, groups counted: their product is its cycles."""
        n, taps = len(self.weights), self.weights.shape[1] * self.weights.shape[2]
        if self.depthwise:
            return n // plan.pe, taps // plan.simd
        rows = self.groups * (n // self.groups // plan.pe)
        return rows, taps * self.weights.shape[3] // plan.simd

    def foldings(self, x: Value, steps: int = 1) -> Iterator[Folding]:
        """See :func:`~codesign.ops.convolve_parts.layout_of`."""
        return foldings_of(self, self.pixel_options(x, steps))

    def vectors(self, x: Value) -> int:
        return self.geometry(x).pixels * self.maps

    @property
    def blocks(self) -> np.ndarray:
        n, k = self.matrix
        return self.weights.reshape(self.groups, n // self.groups, k)

    @property
    def maps(self) -> int:
        """Maps of a frame."""
        return self.steps or 1

    def pixel_options(self, x: Value, steps: int = 1) -> list[int]:
        return pixel_options(self, self.geometry(x))

    def window_bits(self, x: Value, plan: Plan) -> int:
        return ConvolveParts(self, x, _target(self, x), plan).window_bits()

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        """Cycles per frame in steady state: the slowest of input, window and multipliers."""
        return ConvolveParts(self, ins[0], _target(self, ins[0]), plan).cycles()

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        return ConvolveParts(self, ins[0], out, plan).build()

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        built = self.rtl(ins, out, plan) if plan.style == "unrolled" else None
        return ConvolveParts(self, ins[0], out, plan).cost(built)

    def realisation(self, plan: Plan) -> str:
        layout = self.layout(plan)
        window = {"none": "", "tap": "line buffer, ", "pixel": "line delays, "}[layout.window]
        if plan.style == "unrolled":
            return f"{window}shift-add graph"
        kind = "depthwise " if self.depthwise else ""
        return f"{window}{kind}{plan.multiplier} multipliers"


@lru_cache(maxsize=64)
def _target(op: Convolve, x: Value) -> Value:
    """What ``op`` makes of ``x``, looked up for each of many foldings."""
    return Value("", *op.infer(x))


def correlate(
    x: np.ndarray, weights: np.ndarray, geometry: Geometry, groups: int, fill: int
) -> np.ndarray:
    """int64 [maps, pixels, N]: the exact correlation of codes [B, ..., C]; padding reads ``fill``.
    Each step of a frame is a map."""
    n, kh, kw, inner = weights.shape
    matrix = weights.reshape(groups, n // groups, kh * kw * inner).transpose(0, 2, 1)
    reach = max(int(np.abs(x).max(initial=0)), abs(fill))
    dtype = matmul_dtype(reach, matrix)
    matrix, pixels = matrix.astype(dtype), pixels_of(x.astype(dtype), geometry, fill)
    taps = geometry.indices().reshape(geometry.pixels, kh * kw)
    out = np.empty((len(pixels), geometry.pixels, n), np.int64)
    columns = kh * kw * inner * groups
    rows = max(1, min(geometry.pixels, GATHER // columns))
    frames = max(1, GATHER // (rows * columns))
    for b in range(0, len(pixels), frames):
        for p in range(0, geometry.pixels, rows):
            seen = pixels[b : b + frames, taps[p : p + rows]]  # [b, p, tap, C]
            seen = seen.reshape(*seen.shape[:3], groups, inner)
            seen = np.moveaxis(seen, 3, 0).reshape(groups, -1, kh * kw * inner)
            sums = np.moveaxis(seen @ matrix, 0, 1)  # [b * p, group, N / groups]
            out[b : b + frames, p : p + rows] = sums.reshape(-1, min(rows, geometry.pixels - p), n)
    return out


def convolution_range(
    weights: np.ndarray, geometry: Geometry, groups: int, lo: int, hi: int, fill: int
) -> tuple[np.ndarray, np.ndarray]:
    """Exact (lo, hi) int64 [N] of each accumulator, inputs ``lo..hi`` and padding ``fill``.

    Windows see different parts of the padding, so each distinct pattern is looked at.
    """
    inside = geometry.indices().reshape(geometry.pixels, geometry.taps) >= 0
    patterns = np.unique(inside, axis=0)  # [patterns, taps]
    flat = weights.reshape(len(weights), geometry.taps, -1)
    positive, negative = np.maximum(flat, 0).sum(2).T, np.minimum(flat, 0).sum(2).T  # [taps, N]
    padded = (~patterns) @ (flat.sum(2).T * fill)
    seen = patterns.astype(np.int64)
    low = seen @ (positive * lo + negative * hi) + padded
    high = seen @ (positive * hi + negative * lo) + padded
    return low.min(axis=0), high.max(axis=0)
