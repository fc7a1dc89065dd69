"""One Report model, three faces: terminal, JSON, a self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

from codesign.builddir import BuildDir, while_reading, write_text_atomically
from codesign.report.build import build_report
from codesign.report.model import Report

__all__ = ["Report", "build_report", "write_report"]


@while_reading
def write_report(build: BuildDir) -> Path:
    """Write ``reports/report.json`` and ``reports/report.html``; the path of the page."""
    from codesign.report.html import render_html

    report = build_report(build)
    folder = build.root / "reports"
    write_text_atomically(folder / "report.json", report.model_dump_json(indent=1) + "\n")
    write_text_atomically(folder / "report.html", render_html(report))
    return folder / "report.html"
