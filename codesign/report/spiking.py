"""Pictures of a spiking network: rasters, states, cycles against spikes. Lengths are SVG units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.evidence import CyclePoint, SpikingReport, Trace

WIDTH, HEIGHT, MARGIN = 340, 120, 4


@dataclass(frozen=True)
class Dot:
    """A mark at (x, y)."""

    x: float
    y: float


@dataclass(frozen=True)
class Raster:
    """Spikes of the circuit (filled) over those of the model (rings)."""

    title: str
    neurons: int
    steps: int
    circuit: list[Dot]
    model: list[Dot]


@dataclass(frozen=True)
class Curves:
    """A state of some neurons: SVG path of the circuit's words over the model's."""

    title: str
    low: int
    high: int
    circuit: list[str]
    model: list[str]


@dataclass(frozen=True)
class Fit:
    """Cycles of single frames against their spikes, and the line through them."""

    points: list[Dot]
    line: str
    slope: float
    intercept: float
    most_spikes: int
    most_cycles: int


def rasters(report: SpikingReport) -> list[Raster]:
    """A raster for each layer of spikes."""
    return [_raster(trace) for trace in report.traces if trace.kind == "spikes"]


def _raster(trace: Trace) -> Raster:
    steps, neurons = len(trace.model), len(trace.neurons)

    def dots(codes: list[list[int]]) -> list[Dot]:
        return [
            Dot(_x(t, steps), MARGIN + (n + 0.5) * (HEIGHT - 2 * MARGIN) / neurons)
            for t, n in np.argwhere(np.array(codes) != 0).tolist()
        ]

    return Raster(trace.tensor, neurons, steps, dots(trace.circuit), dots(trace.model))


def curves(report: SpikingReport) -> list[Curves]:
    """A picture for each state of each layer."""
    return [_curves(trace) for trace in report.traces if trace.kind == "state"]


def _curves(trace: Trace) -> Curves:
    both = np.array([trace.circuit, trace.model])
    low, high = int(both.min()), int(both.max())

    def paths(codes: np.ndarray) -> list[str]:
        span = max(1, high - low)
        height = HEIGHT - 2 * MARGIN
        return [
            "M" + "L".join(
                f"{_x(t, len(codes)):.1f} {HEIGHT - MARGIN - (code - low) * height / span:.1f}"
                for t, code in enumerate(column.tolist())
            )
            for column in codes.T
        ]  # fmt: skip

    return Curves(trace.tensor, low, high, paths(both[0]), paths(both[1]))


def _x(step: int, steps: int) -> float:
    return MARGIN + (step + 0.5) * (WIDTH - 2 * MARGIN) / steps


def cycle_fit(points: list[CyclePoint]) -> Fit | None:
    """The line of least squares; None for fewer than two different numbers of spikes."""
    spikes = np.array([p.spikes for p in points], float)
    cycles = np.array([p.cycles for p in points], float)
    if len(set(spikes.tolist())) < 2:
        return None
    slope, intercept = np.polyfit(spikes, cycles, 1).tolist()
    wide, high = spikes.max(), max(cycles.max(), slope * spikes.max() + intercept)

    def at(x: float, y: float) -> Dot:
        across, up = (WIDTH - 2 * MARGIN) / wide, (HEIGHT - 2 * MARGIN) / high
        return Dot(MARGIN + x * across, HEIGHT - MARGIN - y * up)

    start, end = at(0, intercept), at(wide, slope * wide + intercept)
    return Fit(
        points=[at(x, y) for x, y in zip(spikes.tolist(), cycles.tolist(), strict=True)],
        line=f"M{start.x:.1f} {start.y:.1f}L{end.x:.1f} {end.y:.1f}",
        slope=slope,
        intercept=intercept,
        most_spikes=int(wide),
        most_cycles=int(high),
    )
