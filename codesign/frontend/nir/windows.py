"""Convolutions of an exchange model as NIR's convolutions, pools and factors."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np


def convolution(weight: np.ndarray, at: dict[str, Any], shape: tuple[int, ...]) -> Any:
    """The NIR node of a convolution with float64 ``weight`` [out, in / groups, k...] and ONNX
    attributes ``at`` of a value of ``shape``; None where NIR cannot say its padding.

    One equal weight for each channel is a pool, a kernel of one on each channel a Scale.
    """
    import nir

    axes = weight.ndim - 2
    before, after = list(at["pads"][:axes]), list(at["pads"][axes:])
    whole = [d * (k - 1) for d, k in zip(at["dilations"], weight.shape[2:], strict=True)]
    same = [n // 2 for n in whole] == before and [n - n // 2 for n in whole] == after
    if before != after and not (same and set(at["strides"]) == {1}):
        return None
    depthwise = weight.shape[1] == 1 and at["group"] == len(weight) == shape[0]
    plain = set(at["dilations"]) == {1} and before == after
    if depthwise and plain and (weight == weight.flat[0]).all() and axes == 2:
        taps = prod(weight.shape[2:])
        sizes = (np.array(weight.shape[2:]), np.array(at["strides"]), np.array(before))
        if weight.flat[0] == 1 and taps > 1:
            return nir.SumPool2d(*sizes)
        if weight.flat[0] == 1 / taps and taps > 1:
            return nir.AvgPool2d(*sizes)
    if depthwise and prod(weight.shape[2:]) == 1 and set(at["strides"]) == {1} and not any(before):
        factor = np.broadcast_to(weight.reshape(-1, *[1] * axes), shape)
        return nir.Scale(factor[:, 0].copy() if shape[1:] == (1,) else factor.copy())
    padding: Any = tuple(before) if before == after else "same"
    rest = (tuple(at["strides"]), padding, tuple(at["dilations"]), at["group"])
    bias = np.zeros(len(weight))
    if axes == 2:
        return nir.Conv2d(np.array(shape[1:]), weight, *rest, bias)
    alone = (x[0] if isinstance(x, tuple) else x for x in rest)
    return nir.Conv1d(shape[1], weight, *alone, bias)
