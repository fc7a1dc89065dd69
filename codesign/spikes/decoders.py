"""Decoders: what a number of steps says, in integers.

All take int [..., steps, elements] and give int64 [..., elements].
"""

from __future__ import annotations

import numpy as np


def count(spikes: np.ndarray) -> np.ndarray:
    """How often each element spiked; of membranes, their sum."""
    return spikes.astype(np.int64).sum(axis=-2)


def membrane(codes: np.ndarray) -> np.ndarray:
    """The codes of the last step."""
    return codes[..., -1, :].astype(np.int64)


def first_spike(spikes: np.ndarray) -> np.ndarray:
    """The step of each element's first spike; the number of steps where there is none."""
    some = (spikes != 0).any(axis=-2)
    return np.where(some, (spikes != 0).argmax(axis=-2), spikes.shape[-2]).astype(np.int64)


def steps_left(spikes: np.ndarray) -> np.ndarray:
    """The steps from each element's first spike to the end, its own counted; 0 where there is
    none: larger the earlier it spikes."""
    return spikes.shape[-2] - first_spike(spikes)


def bitwise(codes: np.ndarray) -> np.ndarray:
    """The sum of the codes, one of step t times ``2**(steps - 1 - t)``: of bitwise spikes the
    number they say, of any spikes a score that is larger the earlier they come."""
    steps = codes.shape[-2]
    weights = 1 << np.arange(steps - 1, -1, -1, dtype=np.int64)
    return (codes.astype(np.int64) * weights[:, None]).sum(axis=-2)
