"""Pictures of a spiking network: rasters and states. Lengths are SVG units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from codesign.evidence import SpikingReport, Trace
from codesign.report.plot import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axes,
    Dot,
    Scale,
    Tick,
    around,
    path,
)

#: Steps with a number of their own below them, at most.
STEP_TICKS, ROW_TICKS = 10, 6
#: A spike is no wider and no higher than this.
CELL = 22.0, 7.0
#: ... and no lower than this, even where rows are.
LOWEST = 1.2
#: Steps up to which each word of a curve is a dot of its own.
DOTTED = 40


@dataclass(frozen=True)
class Raster:
    """Spikes as one path each: in both, only in the circuit, only in the model."""

    title: str
    source: bool
    shown: int
    of: int
    spikes: int
    differences: int
    axes: Axes
    both: str
    circuit: str
    model: str


@dataclass(frozen=True)
class Drop:
    """The reset of a spike: from the membrane compared, at ``y``, down to the word stored."""

    x: float
    y: float
    stored: float


@dataclass(frozen=True)
class Curve:
    """A state of one neuron: SVG paths, dots of the circuit's words, marks of its spikes."""

    neuron: int
    circuit: str
    model: str
    threshold: str
    dots: list[Dot]
    fired: str
    drops: list[Drop]


@dataclass(frozen=True)
class Curves:
    """A state of some neurons. ``unit``: what a code is worth; ``threshold``: in words."""

    title: str
    unit: str
    threshold: str
    reset: bool
    differences: int
    axes: Axes
    curves: list[Curve]


def rasters(report: SpikingReport) -> list[Raster]:
    """A raster of the input's spikes, where they are traced, and of each layer's."""
    kinds = ("input", "spikes")
    return [_raster(trace) for kind in kinds for trace in report.traces if trace.kind == kind]


def _raster(trace: Trace) -> Raster:
    circuit, model = (np.array(codes) for codes in (trace.circuit, trace.model))
    steps, rows = model.shape
    high = (HEIGHT - TOP - BOTTOM) / rows
    size = min(CELL[0], 0.8 * step_width(steps)), max(LOWEST, min(CELL[1], 0.76 * high))

    def cells(where: np.ndarray) -> str:
        """A box for each step and neuron that is true."""
        return "".join(
            f"M{_x(t, steps) - size[0] / 2:.1f} {TOP + (n + 0.5) * high - size[1] / 2:.1f}"
            f"h{size[0]:.1f}v{size[1]:.1f}h{-size[0]:.1f}z"
            for t, n in np.argwhere(where).tolist()
        )

    every = max(1, -(-rows // ROW_TICKS))
    up = [
        Tick(TOP + (n + 0.5) * high, str(trace.neurons[n])) for n in range(0, rows, every)
    ]  # fmt: skip
    what = "input" if trace.kind == "input" else "neuron"
    return Raster(
        title=trace.tensor,
        source=trace.kind == "input",
        shown=rows,
        of=trace.of or rows,
        spikes=int(np.count_nonzero(model)),
        differences=int(np.count_nonzero(circuit != model)),
        axes=Axes(_step_ticks(steps), up, "time step", what),
        both=cells((circuit != 0) & (circuit == model)),
        circuit=cells((circuit != 0) & (circuit != model)),
        model=cells((model != 0) & (circuit != model)),
    )


def curves(report: SpikingReport) -> list[Curves]:
    """A picture for each state of each layer."""
    return [_curves(trace) for trace in report.traces if trace.kind == "state"]


def _curves(trace: Trace) -> Curves:
    worth = trace.scale
    circuit, model, limit, peak = (
        np.array(codes, float) * worth
        for codes in (trace.circuit, trace.model, trace.threshold, trace.compared)
    )
    steps = len(model)
    fired = np.array(trace.fired)
    peaks = peak[fired != 0] if peak.size else peak
    scale = around([*circuit.flat, *model.flat, *limit.flat, *peaks.flat, 0.0])

    def line(column: np.ndarray) -> list[Dot]:
        return [Dot(_x(t, steps), scale.y(value)) for t, value in enumerate(column.tolist())]

    def drops(k: int) -> list[Drop]:
        spikes = np.flatnonzero(fired[:, k]).tolist() if peak.size else []
        return [Drop(_x(t, steps), scale.y(peak[t, k]), scale.y(model[t, k])) for t in spikes]

    found = [
        Curve(
            neuron=neuron,
            circuit=path(line(circuit[:, k])),
            model=path(line(model[:, k])),
            threshold=_level(line(limit[:, k]), steps) if limit.size else "",
            dots=line(circuit[:, k]) if steps <= DOTTED else [],
            fired=_marks(np.flatnonzero(fired[:, k]).tolist(), steps, k) if fired.size else "",
            drops=drops(k),
        )
        for k, neuron in enumerate(trace.neurons)
    ]
    return Curves(
        title=trace.tensor,
        unit=_worth(worth),
        threshold=_threshold(trace, limit),
        reset=trace.reset,
        differences=int(np.count_nonzero(circuit != model)),
        axes=Axes(_step_ticks(steps), scale.ticks(5, upward=True), "time step", "value"),
        curves=found,
    )


def _worth(scale: float) -> str:
    """``1 code = 2⁻⁵``; scales of states are powers of two."""
    power = int(np.log2(scale))
    digits = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"1 code = {'1' if power == 0 else '2' + digits}"


def _threshold(trace: Trace, limit: np.ndarray) -> str:
    if not limit.size:
        return ""
    low, high = float(limit.min()), float(limit.max())
    return f"θ = {low:.6g}" if low == high else f"θ from {low:.6g} to {high:.6g}"


def _level(dots: list[Dot], steps: int) -> str:
    """A level that holds for the whole of each step."""
    half = step_width(steps) / 2
    parts: Iterable[str] = (f"{d.x - half:.1f} {d.y:.1f}L{d.x + half:.1f} {d.y:.1f}" for d in dots)
    return "M" + "L".join(parts)


def _marks(steps_fired: list[int], steps: int, row: int) -> str:
    """A short upright mark above each step with a spike, neurons side by side."""
    return "".join(f"M{_x(t, steps) - 2 + 4 * row:.1f} {TOP - 10}v7" for t in steps_fired)


def step_width(steps: int) -> float:
    """Of one time step."""
    return (WIDTH - LEFT - RIGHT) / steps


def _x(step: int, steps: int) -> float:
    """The middle of a step."""
    return Scale(0, steps).x(step + 0.5)


def _step_ticks(steps: int) -> list[Tick]:
    every = max(1, -(-steps // STEP_TICKS))
    return [Tick(_x(t, steps), str(t + 1)) for t in range(0, steps, every)]
