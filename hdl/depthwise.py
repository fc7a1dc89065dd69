"""Depthwise: every channel has its own taps and weights."""

import numpy as np

from codesign.hdl.matvec import MatVec


class Depthwise(MatVec):
    """``acc[c * m + j] = sum_t weights[c * m + j, t] * x[t, c] + bias[c * m + j]``.

    weights: int64 [C * m, taps], ``m`` the channel multiplier. ``i``: for each of ``vectors``
    pixels and each fold of ``lanes`` channels, the taps in beats of [simd, lanes] codes. ``o``:
    beats of ``lanes * m`` accumulators. ``simd`` taps of ``lanes`` channels are multiplied a
    cycle, with nothing in between: C / lanes * taps / simd cycles a pixel. Further options are
    those of :class:`MatVec`, which this is, with one weight set per channel fold.
    """

    def __init__(
        self, weights: np.ndarray, *, channels: int, lanes: int, simd: int, **options: object
    ) -> None:
        rows = len(weights)
        if lanes < 1 or channels % lanes or rows % channels:
            raise ValueError(
                f"lanes must divide the {channels} channels and these the {rows} outputs, "
                f"got {lanes} lanes"
            )
        folds = channels // lanes
        super().__init__(weights, pe=rows // folds, simd=simd, sets=folds, side=lanes, **options)  # type: ignore[arg-type]
