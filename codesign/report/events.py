"""The events of event-driven layers, as expected and as seen."""

from __future__ import annotations

from dataclasses import dataclass

from codesign.report.model import Report


@dataclass(frozen=True)
class EventRow:
    """Events a step of one layer: planned for, and seen by ``verify`` (None: not verified)."""

    layer: str
    expected: float
    seen: float | None


def event_rows(report: Report) -> list[EventRow]:
    """A row for each event-driven layer."""
    if report.activity is None:
        return []
    found = report.verify.events if report.verify else None
    seen = {row.layer: row.seen for row in found.layers} if found else {}
    return [EventRow(n, e, seen.get(n)) for n, e in report.activity.expected.items()]
