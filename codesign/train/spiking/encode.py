"""Encoders: numbers to the spikes, or the repeated codes, of each time step, all in integers.

A number x in 0..1 is first the code ``q = round(x * 2**bits)``, at most ``2**bits - 1``; one in
-1..1, where codes are signed, ``round(x * 2**(bits - 1))`` in two's complement. What follows are
the encoders of :mod:`codesign.spikes.coders`, which the circuit has too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.errors import UsageError
from codesign.spikes import coders

#: Whole numbers as spikes (Int2Spike).
COUNTS = coders.Count.forms
KINDS = ("rate", "latency", "direct", "delta", *COUNTS, "events")


@dataclass(frozen=True)
class Encoding:
    """``kind``: one of :data:`KINDS`. ``steps``: T. ``bits``: of the code. ``low``: smallest
    code that spikes (latency) or that a change must reach (delta). ``seed``: of the rate code.
    ``signed``: whether codes are two's complement (direct, delta; ternary ones always are)."""

    kind: str
    steps: int
    bits: int = 8
    low: int = 1
    seed: int = 1
    signed: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(
                f"unknown encoding '{self.kind}'", hint=f"known: {', '.join(sorted(KINDS))}"
            )
        if self.steps < 1:
            raise UsageError(f"a network runs at least 1 time step, got T = {self.steps}")
        if not 1 <= self.bits <= 16:
            raise UsageError(f"an input code has 1 to 16 bits, got {self.bits}")
        if not 0 <= self.low < 1 << self.bits:
            raise UsageError(f"low must lie in 0..{(1 << self.bits) - 1}, got {self.low}")
        if self.signed != (self.kind == "ternary") and self.kind not in ("direct", "delta"):
            raise UsageError(f"'{self.kind}' codes are {'un' if self.signed else ''}signed")
        if self.kind != "events":
            self.in_circuit()

    @property
    def word(self) -> str:
        """What the metadata of a file call it."""
        return "count" if self.kind in COUNTS else self.kind

    @property
    def code_frac(self) -> int:
        """Fraction bits of the codes before they are encoded."""
        return self.bits - self.signed

    @property
    def frac(self) -> int:
        """Fraction bits of what the network is given: 0 for spikes."""
        return self.code_frac if self.kind == "direct" else 0

    @property
    def word_given(self) -> tuple[int, bool]:
        """Bits of what the network is given, and whether it is signed."""
        if self.kind == "direct":
            return self.bits, self.signed
        return (2, True) if self.kind == "ternary" else (1, False)

    def in_circuit(self) -> coders.Encoder:
        """The same encoder as a part of the model (docs/EXCHANGE.md).

        Raises :class:`UsageError` for events, which have none, and for steps too few for a count.
        """
        size = self.steps, self.bits, self.code_frac
        try:
            match self.kind:
                case "rate":
                    return coders.Rate(*size, seed=self.seed)
                case "latency":
                    return coders.Latency(*size, low=self.low)
                case "direct":
                    return coders.Direct(*size, signed=self.signed)
                case "delta":
                    return coders.Delta(*size, low=max(1, self.low), signed=self.signed)
                case "binary" | "ternary" | "bitwise":
                    return coders.Count(*size, form=self.kind)
        except ValueError as reason:
            hint = f"docs/EXCHANGE.md has the limits of '{self.kind}' codes"
            raise UsageError(str(reason), hint=hint) from None
        raise UsageError(
            f"'{self.kind}' inputs are not encoded in the circuit", hint="--encoder host"
        )

    def codes(self, x: np.ndarray) -> np.ndarray:
        """float [...] in 0..1 (-1..1 where signed) to int64 codes of the same shape."""
        q = np.rint(np.asarray(x, dtype=np.float64) * (1 << self.code_frac))
        least = -(1 << self.code_frac) if self.signed else 0
        return np.clip(q, least, (1 << self.code_frac) - 1).astype(np.int64)

    def encode(self, x: np.ndarray) -> np.ndarray:
        """float [batch, ...] ([batch, steps, ...] for delta and events) to int64
        [batch, steps, ...]: what arrives each step. Delta doubles the first axis of a step: rises,
        then falls."""
        x = np.asarray(x)
        if self.kind == "events":
            return self._counts(x)
        encoder, q = self.in_circuit(), self.codes(x)
        if encoder.over_time:
            self._check_steps(x)
            made = encoder.encode(q.reshape(*q.shape[:2], -1))
            return made.reshape(*q.shape[:2], 2 * q.shape[2], *q.shape[3:])
        return encoder.encode(q.reshape(len(q), -1)).reshape(len(q), -1, *q.shape[1:])

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The values of :meth:`encode`, float32."""
        found = self.encode(x).astype(np.float32)
        return found * np.float32(2.0**-self.frac) if self.frac else found

    def _counts(self, x: np.ndarray) -> np.ndarray:
        """Spikes as they are: whole numbers from 0."""
        self._check_steps(x)
        whole = np.rint(x).astype(np.int64)
        if (whole != x).any() or (whole < 0).any():
            raise UsageError("event counts are whole numbers from 0")
        return whole

    def _check_steps(self, x: np.ndarray) -> None:
        if x.ndim < 3 or x.shape[1] != self.steps:
            raise UsageError(
                f"'{self.kind}' takes an array [batch, {self.steps} steps, ...], "
                f"got shape {x.shape}"
            )
