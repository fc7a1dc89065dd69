"""Cycles against spikes: measured frames beside the two exact ends. Lengths are SVG units."""

from __future__ import annotations

from dataclasses import dataclass

from codesign.evidence import CyclePoint, SpikingReport
from codesign.manifest import Activity
from codesign.report.plot import Axes, Dot, Scale, around, path


@dataclass(frozen=True)
class Panel:
    """Frames (dots), the silent one where it was measured, predicted ends, their line."""

    title: str
    axes: Axes
    frames: list[Dot]
    silent: list[Dot]
    ends: list[Dot]
    line: str


@dataclass(frozen=True)
class CyclePicture:
    """``silent``, ``dense``: cycles between frames at 0 and at ``most`` spikes, predicted exactly;
    ``farthest``: the measured frame farthest from the line between them, ``off`` cycles above it.
    """

    silent: int
    dense: int
    most: int
    frames: int
    farthest: CyclePoint
    off: float
    silent_measured: float | None
    panels: list[Panel]

    @property
    def share(self) -> float:
        """Cycles of silence, of those of the dense frame (0 ... 1)."""
        return self.silent / self.dense

    @property
    def slope(self) -> float:
        """Cycles a spike, between the two ends."""
        return (self.dense - self.silent) / self.most

    def on_line(self, spikes: float) -> float:
        """Cycles on the line between the two ends."""
        return self.silent + self.slope * spikes


def cycle_picture(report: SpikingReport, activity: Activity | None) -> CyclePicture | None:
    """None for designs whose cycles do not depend on spikes, and where none were measured.

    Nothing is fitted: the line joins two exact ends, and says how far from it frames are.
    """
    frames = [p for p in report.cycles if p.kind == "frame" and p.interval is not None]
    if activity is None or not frames or not report.most_spikes:
        return None
    silent = [p for p in report.cycles if p.kind == "silent" and p.interval is not None]
    bare = CyclePicture(
        silent=activity.silent_ii,
        dense=activity.dense_ii,
        most=report.most_spikes,
        frames=len(frames),
        farthest=frames[0],
        off=0.0,
        silent_measured=next((p.interval for p in silent if p.spikes == 0), None),
        panels=[],
    )

    def off(point: CyclePoint) -> float:
        return _interval(point) - bare.on_line(point.spikes)

    farthest = max(frames, key=lambda p: abs(off(p)))
    return CyclePicture(
        **{
            **vars(bare),
            "farthest": farthest,
            "off": off(farthest),
            "panels": [_whole(bare, frames, silent), _near(bare, frames)],
        }
    )


def _interval(point: CyclePoint) -> float:
    assert point.interval is not None
    return point.interval


def _whole(found: CyclePicture, frames: list[CyclePoint], silent: list[CyclePoint]) -> Panel:
    """From silence to everything."""
    across = Scale(-0.04 * found.most, 1.04 * found.most)
    top = max([found.dense, *map(_interval, frames), *map(_interval, silent)])
    ends = [(0, found.silent), (found.most, found.dense)]
    scales = across, Scale(0, 1.06 * top)
    return _panel("from silence to everything", found, frames, silent, scales, ends)


def _near(found: CyclePicture, frames: list[CyclePoint]) -> Panel:
    """The measured frames, enlarged, with the line where it passes above or below them."""
    spikes = [p.spikes for p in frames]
    line = [found.on_line(n) for n in (min(spikes), max(spikes))]
    scales = around([*spikes]), around([*map(_interval, frames), *line])
    return _panel("the same frames, enlarged", found, frames, [], scales, [])


def _panel(
    title: str,
    found: CyclePicture,
    frames: list[CyclePoint],
    silent: list[CyclePoint],
    scales: tuple[Scale, Scale],
    ends: list[tuple[int, int]],
) -> Panel:
    across, up = scales

    def dots(points: list[CyclePoint]) -> list[Dot]:
        return [Dot(across.x(p.spikes), up.y(_interval(p))) for p in points]

    low, high = (0, found.most) if ends else (across.low, across.high)
    return Panel(
        title=title,
        axes=Axes(
            across.ticks(6, upward=False), up.ticks(5, upward=True), "spikes in the frame", "cycles"
        ),
        frames=dots(frames),
        silent=dots(silent),
        ends=[Dot(across.x(n), up.y(c)) for n, c in ends],
        line=path([Dot(across.x(n), up.y(found.on_line(n))) for n in (low, high)]),
    )
