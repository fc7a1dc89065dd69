"""Encoders: numbers to the spikes, or the repeated codes, of each time step, all in integers.

A number x in 0..1 is first the code ``q = round(x * 2**bits)``, at most ``2**bits - 1``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from codesign.errors import UsageError
from codesign.spikes import coders, encoders

ENCODERS: dict[str, Callable[[Encoding, np.ndarray], np.ndarray]] = {}


@dataclass(frozen=True)
class Encoding:
    """``kind``: one of :data:`ENCODERS`. ``steps``: T. ``bits``: of the code. ``low``: smallest
    code that spikes (latency) or that a change must reach (delta). ``seed``: of the rate code."""

    kind: str
    steps: int
    bits: int = 8
    low: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        if self.kind not in ENCODERS:
            raise UsageError(
                f"unknown encoding '{self.kind}'", hint=f"known: {', '.join(sorted(ENCODERS))}"
            )
        if self.steps < 1:
            raise UsageError(f"a network runs at least 1 time step, got T = {self.steps}")
        if not 1 <= self.bits <= 16:
            raise UsageError(f"an input code has 1 to 16 bits, got {self.bits}")
        if not 0 <= self.low < 1 << self.bits:
            raise UsageError(f"low must lie in 0..{(1 << self.bits) - 1}, got {self.low}")

    @property
    def frac(self) -> int:
        """Fraction bits of what the network is given: 0 for spikes."""
        return self.bits if self.kind == "direct" else 0

    def in_circuit(self) -> coders.Encoder:
        """The same encoder as a part of the model (docs/EXCHANGE.md).

        Raises :class:`UsageError` for signals and events, which have no such encoder.
        """
        match self.kind:
            case "rate":
                return coders.Rate(self.steps, self.bits, self.bits, seed=self.seed)
            case "latency":
                return coders.Latency(self.steps, self.bits, self.bits, low=self.low)
            case "direct":
                return coders.Direct(self.steps, self.bits, self.bits, signed=False)
        raise UsageError(
            f"'{self.kind}' inputs are not encoded in the circuit", hint="--encoder host"
        )

    def codes(self, x: np.ndarray) -> np.ndarray:
        """float [...] in 0..1 to int64 codes of the same shape."""
        q = np.rint(np.asarray(x, dtype=np.float64) * (1 << self.bits))
        return np.clip(q, 0, (1 << self.bits) - 1).astype(np.int64)

    def encode(self, x: np.ndarray) -> np.ndarray:
        """float [batch, ...] ([batch, steps, ...] for delta and events) to int64
        [batch, steps, ...]: what arrives each step."""
        return ENCODERS[self.kind](self, np.asarray(x))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The values of :meth:`encode`, float32."""
        found = self.encode(x).astype(np.float32)
        return found * np.float32(2.0**-self.frac) if self.frac else found


def encoder(name: str) -> Callable[[Callable[[Encoding, np.ndarray], np.ndarray]], Callable]:
    """Decorator: make an encoder known under ``name``."""

    def enter(function: Callable[[Encoding, np.ndarray], np.ndarray]) -> Callable:
        ENCODERS[name] = function
        return function

    return enter


def _of_elements(q: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """[batch, T, elements] in the shape of the codes ``q`` [batch, ...]."""
    return steps.reshape(len(q), -1, *q.shape[1:])


@encoder("direct")
def direct(e: Encoding, x: np.ndarray) -> np.ndarray:
    """The code itself, repeated at each step: a constant current."""
    q = e.codes(x)
    return _of_elements(q, encoders.direct(q.reshape(len(q), -1), e.steps))


@encoder("latency")
def latency(e: Encoding, x: np.ndarray) -> np.ndarray:
    """One spike, the earlier the larger; none for codes below ``low``."""
    q = e.codes(x)
    return _of_elements(q, encoders.latency(q.reshape(len(q), -1), e.steps, e.bits, e.low))


@encoder("rate")
def rate(e: Encoding, x: np.ndarray) -> np.ndarray:
    """Spikes at random, more the larger the code, alike for every frame."""
    q = e.codes(x)
    return _of_elements(q, encoders.rate(q.reshape(len(q), -1), e.steps, e.bits, e.seed))


@encoder("delta")
def delta(e: Encoding, x: np.ndarray) -> np.ndarray:
    """Changes of a signal [batch, steps, features]: a spike of the first ``features`` where the
    code rose by ``low`` or more since the step before (from 0), of the second where it fell."""
    _steps_match(e, x)
    return np.moveaxis(encoders.delta(np.moveaxis(e.codes(x), 2, -1), e.low), -1, 2)


@encoder("events")
def events(e: Encoding, x: np.ndarray) -> np.ndarray:
    """Spikes [batch, steps, ...] as they are: whole numbers from 0."""
    _steps_match(e, x)
    whole = np.rint(x).astype(np.int64)
    if (whole != x).any() or (whole < 0).any():
        raise UsageError("event counts are whole numbers from 0")
    return whole


def _steps_match(e: Encoding, x: np.ndarray) -> None:
    if x.ndim < 3 or x.shape[1] != e.steps:
        raise UsageError(
            f"'{e.kind}' takes an array [batch, {e.steps} steps, ...], got shape {x.shape}"
        )
