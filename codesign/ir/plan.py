"""How a circuit operation is built: decided by the planner, read by estimates and emission."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Style = Literal["folded", "unrolled", "stream", "event"]
Multiplier = Literal["lut", "dsp"]
Memory = Literal["auto", "block", "lut"]


@dataclass(frozen=True)
class Dense:
    """A value travels whole: beats of ``lanes`` codes."""

    lanes: int


@dataclass(frozen=True)
class Events:
    """A value of spikes travels as address events, each counting at most ``levels``."""

    levels: int


#: How a value travels between components.
Form = Dense | Events


@dataclass(frozen=True)
class Plan:
    """One node's hardware choices.

    ``pe`` rows by ``simd`` columns are computed a cycle; an unrolled layer has all of them.
    Nodes without multipliers (``stream``) use ``simd`` as input lanes and ``pe`` as output lanes.
    Event-driven layers (``event``) add ``pe`` weights a cycle; ``simd`` inputs a cycle are scanned
    for events before them, none (0) where events come. One of these counts at most ``levels``.
    ``depth``: pipeline stages of an unrolled layer (None: as many as the clock needs).
    ``max_stages``: registers a folded layer's matrix unit may use, so that with its requantizer
    it ends at most six cycles after the last multiply-accumulate.
    ``pixels``: so many pixels (vectors of a larger value) are computed side by side; a beat then
    holds ``pixels`` times the lanes of one.
    """

    style: Style
    pe: int
    simd: int
    multiplier: Multiplier = "lut"
    memory: Memory = "auto"
    depth: int | None = None
    max_stages: int = 6
    pixels: int = 1
    levels: int = 0
    reason: str = ""
