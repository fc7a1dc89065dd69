"""How a circuit operation is built: decided by the planner, read by estimates and emission."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Style = Literal["folded", "unrolled", "stream", "event"]
Multiplier = Literal["lut", "dsp"]
Memory = Literal["auto", "block", "lut"]


@dataclass(frozen=True)
class Plan:
    """One node's hardware choices.

    ``pe`` rows by ``simd`` columns are computed a cycle; an unrolled layer has all of them.
    Nodes without multipliers (``stream``) use ``simd`` as input lanes and ``pe`` as output lanes.
    Event-driven synapses (``event``) scan ``simd`` inputs and add ``pe`` weights a cycle.
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
    reason: str = ""
