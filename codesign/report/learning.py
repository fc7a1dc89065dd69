"""What a design learned: the curve of its answers while it did. Lengths are SVG units."""

from __future__ import annotations

from dataclasses import dataclass

from codesign.evidence import LearningReport

#: The picture, and its free border.
WIDTH, HEIGHT, MARGIN = 340, 120, 4


@dataclass(frozen=True)
class Lesson:
    """SVG path of the share of right answers along the run, and the lines before and after it."""

    path: str
    before: float
    after: float


def lesson(report: LearningReport) -> Lesson:
    """The picture of a training run: 0 at the bottom, 1 at the top."""
    last = max(1, report.frames)

    def up(share: float) -> float:
        return HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN)

    points = [
        f"{MARGIN + p.frame * (WIDTH - 2 * MARGIN) / last:.1f} {up(p.accuracy):.1f}"
        for p in report.curve
    ]
    return Lesson("M" + "L".join(points) if points else "", up(report.before), up(report.after))
