"""Encoders with all that they need to know: what a network's input becomes in each time step.

The functions are those of :mod:`codesign.spikes.encoders`, the hardware
:mod:`codesign.hdl.spikes`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from codesign.spikes import encoders

#: Bits of a code, steps of a frame, fraction bits: what encoders are limited to.
BITS, STEPS, FRACS = range(1, 17), range(1, (1 << 16) + 1), range(-64, 65)


@dataclass(frozen=True)
class Encoder(ABC):
    """Codes int [..., elements], each worth ``2**-frac``, to codes of ``steps`` steps; an encoder
    ``over_time`` reads a signal, int [..., steps, elements], instead.

    ``steps``: T, 1 to 65536. ``bits``: of a code, 1 to 16 (2 to 16 if signed). ``frac``: -64 to 64.
    ``ValueError`` for other numbers.
    """

    steps: int
    bits: int
    frac: int

    #: What metadata call it.
    kind: ClassVar[str]
    #: Whether it reads codes of every step.
    over_time: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name, allowed in {"steps": STEPS, "bits": BITS, "frac": FRACS}.items():
            if getattr(self, name) not in allowed:
                what = f"{name} is {getattr(self, name)}"
                raise ValueError(f"{what}, an encoder's is {allowed.start} to {allowed.stop - 1}")
        if self.signed_codes and self.bits == 1:
            raise ValueError("signed codes have at least 2 bits")

    @property
    def signed_codes(self) -> bool:
        """Whether its codes are two's complement."""
        return False

    @property
    def span(self) -> tuple[int, int]:
        """Least and greatest code it takes."""
        if self.signed_codes:
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1

    @property
    def out_span(self) -> tuple[int, int]:
        """Least and greatest code it gives."""
        return 0, 1

    @property
    def out_frac(self) -> int:
        """Fraction bits of what it gives: spikes have none."""
        return 0

    def in_shape(self, elements: int) -> tuple[int, ...]:
        """The shape it reads, where each step of what it gives has ``elements`` elements;
        ``ValueError`` where it cannot give so many."""
        return (elements,)

    def out_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what it gives for codes of ``shape``; ``ValueError`` for one it does not
        read."""
        if len(shape) != 1:
            raise ValueError(f"an encoder reads a vector, not {shape}")
        return (self.steps, *shape)

    @abstractmethod
    def encode(self, codes: np.ndarray) -> np.ndarray:
        """int64 [..., *out_shape] of codes int [..., *in_shape] in ``span``."""


@dataclass(frozen=True)
class Rate(Encoder):
    """:func:`codesign.spikes.encoders.rate`; ``seed``: 0 to 2**31 - 1."""

    seed: int

    kind = "rate"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.seed < 1 << 31:
            raise ValueError(f"seed is {self.seed}, a rate code's is 0 to {(1 << 31) - 1}")

    def encode(self, codes: np.ndarray) -> np.ndarray:
        return encoders.rate(codes, self.steps, self.bits, self.seed)


@dataclass(frozen=True)
class Latency(Encoder):
    """:func:`codesign.spikes.encoders.latency`; codes below ``low`` never spike."""

    low: int

    kind = "latency"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.low < 1 << self.bits:
            raise ValueError(f"low is {self.low}, a code of {self.bits} bits is below 2**bits")

    def encode(self, codes: np.ndarray) -> np.ndarray:
        return encoders.latency(codes, self.steps, self.bits, self.low)


@dataclass(frozen=True)
class Direct(Encoder):
    """:func:`codesign.spikes.encoders.direct`: what it gives are the codes themselves."""

    signed: bool

    kind = "direct"

    @property
    def signed_codes(self) -> bool:
        return self.signed

    @property
    def out_span(self) -> tuple[int, int]:
        return self.span

    @property
    def out_frac(self) -> int:
        return self.frac

    def encode(self, codes: np.ndarray) -> np.ndarray:
        return encoders.direct(codes, self.steps)


@dataclass(frozen=True)
class Count(Encoder):
    """Whole numbers as spikes: ``form`` is ``binary``, ``ternary`` (signed codes) or ``bitwise``,
    a function of :mod:`codesign.spikes.encoders`. ``ValueError`` where ``steps`` are too few for
    the greatest code."""

    form: str

    kind = "count"
    forms: ClassVar[tuple[str, ...]] = ("binary", "ternary", "bitwise")

    def __post_init__(self) -> None:
        if self.form not in self.forms:
            raise ValueError(f"counts become {', '.join(self.forms)} spikes, got '{self.form}'")
        super().__post_init__()
        most = self.bits if self.form == "bitwise" else max(-self.span[0], self.span[1])
        if self.steps < most:
            raise ValueError(f"{self.form} spikes of {self.bits} bits need {most} steps")

    @property
    def signed_codes(self) -> bool:
        return self.form == "ternary"

    @property
    def out_span(self) -> tuple[int, int]:
        return (-1 if self.signed_codes else 0), 1

    def encode(self, codes: np.ndarray) -> np.ndarray:
        function = {
            "binary": encoders.binary,
            "ternary": encoders.ternary,
            "bitwise": encoders.bitwise,
        }[self.form]
        return function(codes, self.steps)


@dataclass(frozen=True)
class Delta(Encoder):
    """:func:`codesign.spikes.encoders.delta`: a signal's rises, then its falls, by ``low`` codes or
    more in a step; ``low``: 1 to the greatest change there is, ``2**bits - 1``. ``signed``:
    whether the signal's codes are two's complement."""

    low: int
    signed: bool

    kind = "delta"
    over_time = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.low < 1 << self.bits:
            most = (1 << self.bits) - 1
            raise ValueError(f"low is {self.low}, a change of {self.bits}-bit codes is 1 to {most}")

    @property
    def signed_codes(self) -> bool:
        return self.signed

    def in_shape(self, elements: int) -> tuple[int, ...]:
        if elements % 2:
            raise ValueError(f"delta codes are rises and falls: {elements} is an odd number")
        return (self.steps, elements // 2)

    def out_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(shape) != 2 or shape[0] != self.steps:
            raise ValueError(f"it reads a signal of {self.steps} steps, ({self.steps}, F), "
                             f"not {shape}")  # fmt: skip
        return (self.steps, 2 * shape[1])

    def encode(self, codes: np.ndarray) -> np.ndarray:
        return encoders.delta(codes, self.low)
