"""The report as one self-contained page: no script, no network, everything escaped."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from codesign.evidence import LearningReport, SpikingReport
from codesign.report import plot, units
from codesign.report.cycles import cycle_picture
from codesign.report.events import event_rows
from codesign.report.graph import picture, pretty_format, shorten
from codesign.report.learning import HEIGHT, WIDTH, lesson
from codesign.report.model import KINDS, Report
from codesign.report.spiking import curves, rasters

HOP = re.compile(
    r"(?P<name>.*?)(?: \((?P<cells>\d+) cells\))?"
    r": routing (?P<routing>[\d.]+) ns, logic (?P<logic>[\d.]+) ns"
)


@dataclass(frozen=True)
class Hop:
    """One line of the critical path; delays in ns, ``start`` is the delay before it."""

    name: str
    cells: int
    start: float
    routing: float
    logic: float


def render_html(report: Report) -> str:
    """The page for ``report``."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for name in ("si", "count", "percent", "share", "signed", "seconds", "folding"):
        environment.filters[name] = getattr(units, name)
    environment.filters |= {
        "printable": units.printable,
        "significant": units.significant,
        "shorten": shorten,
        "format": pretty_format,
        "format_number": lambda spec, value: spec % value,
    }
    template = environment.from_string(_resource("report.html.jinja"))
    learned = report.verify.learning if report.verify else None
    spikes = report.verify.spiking if report.verify else None
    page = template.render(
        r=report,
        kinds=KINDS,
        picture=picture(report),
        hops=hops(report),
        spiking=_spiking(environment, spikes, report) if spikes else None,
        learning=_learning(environment, learned) if learned else None,
        events=_events(environment, report),
        not_run=units.NOT_RUN,
        css=Markup(_resource("report.css")),  # noqa: S704 (our own file)
    )
    return units_safe(page)


def _spiking(environment: Environment, spikes: SpikingReport, report: Report) -> Markup:
    """The sections of a spiking network."""
    template = environment.from_string(_resource("spiking.html.jinja"))
    page = template.render(
        s=spikes,
        activity=report.activity,
        rasters=rasters(spikes),
        curves=curves(spikes),
        cycles=cycle_picture(spikes, report.activity),
        mhz=report.board.clock_mhz,
        g=plot,
    )
    return Markup(page)  # noqa: S704 (escaped by the template)


def _events(environment: Environment, report: Report) -> Markup | None:
    """The section of what event-driven layers are planned for; None without any."""
    rows = event_rows(report)
    if not rows:
        return None
    template = environment.from_string(_resource("events.html.jinja"))
    seen = report.verify.events if report.verify else None
    page = template.render(activity=report.activity, seen=seen, rows=rows)
    return Markup(page)  # noqa: S704 (escaped by the template)


def _learning(environment: Environment, learned: LearningReport) -> Markup:
    """The section of a design that learns."""
    template = environment.from_string(_resource("learning.html.jinja"))
    page = template.render(l=learned, lesson=lesson(learned), w=WIDTH, h=HEIGHT)
    return Markup(page)  # noqa: S704 (escaped by the template)


def units_safe(page: str) -> str:
    """``page`` without control characters, which are no part of any HTML document."""
    return "".join(c for c in page if c.isprintable() or c in "\n\t")


def _resource(name: str) -> str:
    return resources.files("codesign.report").joinpath(name).read_text(encoding="utf-8")


def hops(report: Report) -> list[Hop]:
    """The critical path as bars; empty when its lines have another form."""
    path = report.critical_path
    found: list[Hop] = []
    start = 0.0
    for text in path.hops if path else []:
        match = HOP.fullmatch(text)
        if match is None:
            return []
        routing, logic = float(match["routing"]), float(match["logic"])
        found.append(Hop(match["name"], int(match["cells"] or 1), start, routing, logic))
        start += routing + logic
    return found
