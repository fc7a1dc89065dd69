"""NIR's delays in steps of time, one for each channel."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.frontend.spiking import Chosen, DelayLine, Layer
from codesign.frontend.spiking.layers import Shape, per_channel

Edges = list[tuple[str, str]]
MOST = 4096


def steps_of(node: Any, shape: Shape, seconds: float, where: str) -> np.ndarray:
    """The delays of a node in steps of ``seconds``: int64 [1] or [channels], 1..4096.

    Raises :class:`UnsupportedModel` where one is no multiple of the step, as the file's dtype
    holds it, or differs within a channel.
    """
    delays, dtype = per_channel(np.asarray(node.delay), shape, where), np.asarray(node.delay).dtype
    dt = Fraction(repr(seconds))
    found = np.array([round(Fraction(float(d)) / dt) for d in delays], np.int64)
    for delay, steps in zip(delays, found.tolist(), strict=True):
        held = np.float64(float(steps * dt)).astype(dtype)
        if steps < 1 or float(held) != delay:
            raise UnsupportedModel(
                f"a delay of {delay:.9g} s is no multiple of dt, {float(dt):.9g} s: the "
                f"nearest is {max(steps, 1) * float(dt):.9g} s",
                where=where,
                hint="change the delay or time.dt; leave a delay of 0 out",
            )
        if steps > MOST:
            raise UnsupportedModel(f"{steps} steps", where=where, hint=f"at most {MOST}")
    return found


def spread(layers: dict[str, Layer], edges: Edges, name: str, steps: np.ndarray) -> Edges:
    """The delay line ``name`` as one for each of its delays, which follow each other; readers add
    up what each lets through of its own channels. Returns the new edges; adds to ``layers``."""
    sources, readers = ([s for s, t in edges if t == name], [t for s, t in edges if s == name])
    kept = [e for e in edges if name not in e]
    del layers[name]
    last, before = "", 0
    for delay in np.unique(steps).tolist():
        line, own = f"{name}.after{delay}", f"{name}.of{delay}"
        layers[line] = DelayLine(line, delay - before)
        layers[own] = Chosen(own, steps == delay)
        kept += [(s, line) for s in ([last] if last else sources)]
        kept += [(line, own), *((own, t) for t in readers)]
        last, before = line, delay
    return kept
