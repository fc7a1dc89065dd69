"""Layers whose weights are loaded while the circuit exists: ranges over every possible weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.ir import record

if TYPE_CHECKING:
    from codesign.ops.geometry import Geometry


@record("loadable_weights")
@dataclass(frozen=True)
class LoadableWeights:
    """Weights may become any codes ``lo..hi``; the layer reads inputs minus ``zero_point``.

    The zero point is part of the layer's bias, ``-zero_point * sum(weights)``, so the bias
    changes with the weights.
    """

    lo: int
    hi: int
    zero_point: int = 0

    def fixed_bias(self, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """The part of ``bias`` int64 [N] that does not depend on ``weights`` [N, ...]."""
        rows = weights.reshape(len(weights), -1)
        return np.asarray(bias + self.zero_point * rows.sum(axis=1))


def weight_range(weights: np.ndarray, limits: tuple[int, int] | None) -> tuple[int, int]:
    """What may be loaded: the format's ``limits``, or, where the file names no format, all codes
    of the narrowest integer type that holds ``weights``."""
    if limits is not None:
        return limits
    lo, hi = int(weights.min(initial=0)), int(weights.max(initial=0))
    if lo >= 0:
        return 0, (1 << max(1, hi.bit_length())) - 1
    bits = max((-lo - 1).bit_length(), hi.bit_length())
    return -(1 << bits), (1 << bits) - 1


def any_weights(weight: tuple[int, int], x_lo: int, x_hi: int, count: int) -> tuple[int, int]:
    """Least and greatest sum of ``count`` products of any weight with any input in range."""
    ends = [w * x for w in weight for x in (x_lo, x_hi)]
    return count * min(ends), count * max(ends)


def any_kernel(
    weight: tuple[int, int], geometry: Geometry, inner: int, x_lo: int, x_hi: int
) -> tuple[int, int]:
    """The same for a convolution with ``inner`` channels a tap; padding counts zero.

    Windows at a border have fewer taps inside the map.
    """
    inside = (geometry.indices().reshape(geometry.pixels, geometry.taps) >= 0).sum(axis=1)
    found = [any_weights(weight, x_lo, x_hi, int(n) * inner) for n in np.unique(inside)]
    return min(lo for lo, _ in found), max(hi for _, hi in found)
