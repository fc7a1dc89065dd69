"""Encoders: what a code becomes in each time step, in integers.

All take codes int [..., elements] (delta: [..., steps, elements]) and give int64
[..., steps, elements].
"""

from __future__ import annotations

import numpy as np

#: Constants of :func:`mix`.
FIRST_FACTOR, SECOND_FACTOR = 0x7FEB352D, 0x846CA68B
_MASK = np.uint64(0xFFFFFFFF)


def direct(codes: np.ndarray, steps: int) -> np.ndarray:
    """The code itself at each step: a constant current."""
    return np.repeat(codes[..., None, :], steps, axis=-2).astype(np.int64)


def latency(codes: np.ndarray, steps: int, bits: int, low: int) -> np.ndarray:
    """One spike, the earlier the larger the code q in ``0..2**bits - 1``: at step
    ``((2**bits - 1 - q) * steps) >> bits``; none for codes below ``low``."""
    q = codes[..., None, :].astype(np.int64)
    when = (((1 << bits) - 1 - q) * steps) >> bits
    return ((when == np.arange(steps)[:, None]) & (q >= low)).astype(np.int64)


def rate(codes: np.ndarray, steps: int, bits: int, seed: int) -> np.ndarray:
    """A spike where the code in ``0..2**bits - 1`` exceeds the top ``bits`` of :func:`mix` of the
    counter ``step * elements + element``."""
    elements = codes.shape[-1]
    drawn = mix(np.arange(steps * elements), seed) >> np.uint64(32 - bits)
    return (codes[..., None, :] > drawn.reshape(steps, elements).astype(np.int64)).astype(np.int64)


def delta(codes: np.ndarray, low: int) -> np.ndarray:
    """Of a signal int [..., steps, features]: a spike of element ``f`` where feature f rose by
    ``low`` (at least 1) or more since the step before (from 0 at first), of element
    ``features + f`` where it fell by as much."""
    q = codes.astype(np.int64)
    change = np.diff(q, axis=-2, prepend=np.zeros_like(q[..., :1, :]))
    least = max(1, low)
    return np.concatenate([change >= least, change <= -least], axis=-1).astype(np.int64)


def binary(counts: np.ndarray, steps: int) -> np.ndarray:
    """A count n as n spikes, one in each of the first n steps (SpikingBrain, Int2Spike)."""
    return (counts[..., None, :] > np.arange(steps)[:, None]).astype(np.int64)


def ternary(counts: np.ndarray, steps: int) -> np.ndarray:
    """A count n as |n| spikes of its sign, one in each of the first |n| steps."""
    return np.sign(counts)[..., None, :] * binary(np.abs(counts), steps)


def bitwise(counts: np.ndarray, steps: int) -> np.ndarray:
    """A count below ``2**steps`` as its bits, the highest first."""
    return (counts[..., None, :] >> np.arange(steps - 1, -1, -1)[:, None] & 1).astype(np.int64)


def mix(counter: np.ndarray, seed: int) -> np.ndarray:
    """32 random-looking bits of ``(seed, counter)``, uint64: ``final(counter ^ key(seed))`` with
    ``final`` the 32-bit finalizer ``lowbias32`` (C. Wellons, "Prospecting for Hash Functions",
    2018) and ``key = final(seed + 1)``, both modulo 2**32."""
    return _final((np.asarray(counter).astype(np.uint64) & _MASK) ^ np.uint64(key(seed)))


def key(seed: int) -> int:
    """What a seed does to the counter of :func:`mix`."""
    return int(_final(np.array([((seed & 0xFFFFFFFF) + 1) & 0xFFFFFFFF], dtype=np.uint64))[0])


def _final(v: np.ndarray) -> np.ndarray:
    v = v ^ (v >> np.uint64(16))
    v = (v * np.uint64(FIRST_FACTOR)) & _MASK
    v = v ^ (v >> np.uint64(15))
    v = (v * np.uint64(SECOND_FACTOR)) & _MASK
    return v ^ (v >> np.uint64(16))
