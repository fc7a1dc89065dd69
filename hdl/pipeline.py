"""Where to cut a combinational path into pipeline stages, by a simple delay model.

Delays are nanoseconds on a Lattice ECP5 of speed grade 6, fitted to nextpnr-ecp5 results; other
families differ in scale, not in where the cuts fall.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

#: Longest path a stage may have: 100 MHz with a quarter in reserve.
STAGE_NS = 7.5
#: Clock to output, setup, and the wire in between.
REGISTER_NS = 1.2
#: Clock to output of a block memory, and the wire to the fabric.
BLOCK_MEMORY_NS = 6.2
LUT_NS = 1.2
DSP_NS = 6.9


def adder_ns(width: int) -> float:
    """A carry-chain adder of ``width`` bits with the wire before it."""
    return 2.2 + 0.04 * width


def fanout_ns(loads: int) -> float:
    """A LUT whose input net drives ``loads`` LUTs: routing grows with how far they spread."""
    return LUT_NS + 0.3 * max(1, loads).bit_length()


@dataclass(frozen=True)
class Step:
    """Part of a path: its delay, and the cost (bits) of a register after it."""

    name: str
    delay: float
    bits: int


def cuts(steps: Sequence[Step], limit: int, start: float, stage_ns: float = STAGE_NS) -> list[str]:
    """Names of the steps after which to put a register: fewest, then cheapest, at most ``limit``.

    ``start``: delay before the first step (its source's clock to output). The end of the path is
    a register already. When ``limit`` cuts do not suffice the longest stage is minimised.
    """
    best: tuple[float, int, tuple[int, ...]] | None = None
    inner = range(len(steps) - 1)
    for count in range(min(limit, len(steps) - 1) + 1):
        for chosen in combinations(inner, count):
            longest = _longest(steps, chosen, start)
            cost = sum(steps[c].bits for c in chosen)
            key = (max(longest, stage_ns), cost, chosen)
            if best is None or key[:2] < best[:2]:
                best = key
        if best is not None and best[0] <= stage_ns:
            break
    assert best is not None
    return [steps[c].name for c in best[2]]


def _longest(steps: Sequence[Step], chosen: tuple[int, ...], start: float) -> float:
    longest, current = 0.0, start
    for index, step in enumerate(steps):
        current += step.delay
        if index in chosen:
            longest, current = max(longest, current), REGISTER_NS
    return max(longest, current)
