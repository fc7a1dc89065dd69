"""The report as rich renderables. Names come from models: they are never read as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from codesign.builddir import BuildDir
from codesign.evidence import LearningReport, SpikingReport, SynthReport, VerifyReport
from codesign.manifest import HostStep, what_remains
from codesign.report.build import build_report
from codesign.report.events import event_rows
from codesign.report.model import KINDS, Report, Verdict
from codesign.report.units import (
    NOT_RUN,
    count,
    folding,
    percent,
    printable,
    seconds,
    share,
    si,
    signed,
    significant,
)
from codesign.report.verdict import verdict_of
from codesign.schema import Cost

COLOUR = {
    "exact": "bold green",
    "explained": "bold yellow",
    "failed": "bold red",
    "unverified": "bold yellow",
}


def render(report: Report) -> list[RenderableType]:
    """The whole report, in the order of the page."""
    parts: list[RenderableType] = [_verdict(report), _figures(report), layer_table(report)]
    if report.fifos:
        parts.append(fifo_table(report))
    if report.activity:
        parts.append(event_table(report))
    parts.append(_board(report))
    if report.verify:
        parts.append(verify_table(report.verify))
        if report.verify.spiking:
            parts.append(spiking_table(report.verify.spiking))
        if report.verify.learning:
            parts.append(learning_table(report.verify.learning))
    if report.critical_path:
        parts.append(_path(report))
    return parts


def design_table(path: Path) -> RenderableType:
    """What ``generate`` made: figures and layers of the build folder at ``path``."""
    report = build_report(BuildDir.open(path))
    more = [fifo_table(report)] if report.fifos else []
    more += [event_table(report)] if report.activity else []
    return Group(
        remains_line(report.host), _figures(report), layer_table(report), *more, _board(report)
    )


def remains_line(host: Sequence[HostStep]) -> Text:
    """How much of the network is in the circuit."""
    return _text(what_remains(host), "yellow" if host else "green")


def _text(value: Any, style: str = "") -> Text:
    return Text(printable(str(value)), style=style)


def _table(columns: Sequence[tuple[str, str]], title: str = "") -> Table:
    """A light table; each column is its header and ``left`` or ``right``."""
    heading = _text(title, "bold") if title else None
    table = Table(title=heading, box=None, padding=(0, 2, 0, 0), title_justify="left")
    for header, justify in columns:
        table.add_column(header, justify=justify, header_style="dim")  # type: ignore[arg-type]
    return table


def _row(table: Table, cells: Iterable[Any], style: str = "") -> None:
    table.add_row(*(c if isinstance(c, Text) else _text(c) for c in cells), style=style)


def headline(verdict: Verdict) -> Text:
    """The verdict's first line."""
    return _text(verdict.headline, COLOUR[verdict.status])


def _verdict(report: Report) -> RenderableType:
    verdict = report.verdict
    line = headline(verdict)
    line.append(f"  {printable(report.name)} on {report.board.name}\n", style="bold")
    line.append(printable(verdict.detail))
    return Group(line, remains_line(report.host))


def _figures(report: Report) -> RenderableType:
    """Key figures, one a line."""
    perf = report.performance
    table = Table.grid(padding=(0, 2))
    speeds = [("planned", perf.at_board_clock)]
    if perf.at_fmax:
        speeds.append(("Fmax", perf.at_fmax))
    for label, speed in speeds:
        text = f"{si(speed.frames_per_second)} frames/s, latency {speed.latency_us:.3g} µs"
        table.add_row(_text(f"at {speed.clock_mhz:g} MHz ({label})", "dim"), _text(text))
    table.add_row(_text("cycles", "dim"), _text(f"latency {perf.latency_cycles}, II {perf.ii}"))
    if report.missed:
        table.add_row(_text("target missed", "yellow"), _text(report.missed, "yellow"))
    if perf.at_fmax is None:
        table.add_row(_text("Fmax", "dim"), _text(NOT_RUN))
    if report.synth_stale:
        note = "of other RTL than this, ignored: run codesign synth again"
        table.add_row(_text("synthesis", "dim"), _text(note, "yellow"))
    if perf.meets_clock is False:
        table.add_row(_text("clock", "dim"), _text("Fmax is below the planned clock", "yellow"))
    known = (report.accuracy.float_model, report.accuracy.quantized_model, report.accuracy.circuit)
    if any(value is not None for value in known):
        chain = " → ".join(map(share, known))
        table.add_row(_text("accuracy", "dim"), _text(f"{chain} (float → quantized → circuit)"))
    return table


def layer_table(report: Report) -> RenderableType:
    """One line a layer. Synthesised columns appear once there are any."""
    synthesised = report.totals.synthesised is not None
    columns = [("layer", "left"), ("format", "left"), ("style", "left"), ("PE × SIMD", "right")]
    columns += [("MACs", "right"), ("II", "right"), ("lat.", "right"), ("busy", "right")]
    columns += [(f"{kind} est.", "right") for kind in KINDS]
    columns += [("LUT synth.", "right"), ("diff.", "right")] if synthesised else []
    table = _table(columns)
    for row in report.layers:
        cells = [row.name, f"{row.in_label} → {row.out_label}", row.style]
        cells += [folding(row.style, row.pe, row.simd, row.pixels), count(row.macs), count(row.ii)]
        cells += [count(row.latency), percent(row.utilisation, 0), *_cost(row.estimate)]
        if synthesised:
            cells += [count(row.synthesised.lut if row.synthesised else None)]
            cells += [signed(row.difference["lut"])]
        _row(table, cells)
    total = ["all layers", "", "", "", count(report.performance.macs)]
    total += ["", "", "", *_cost(report.totals.estimate)]
    if synthesised:
        layers = report.totals.synthesised_layers
        total += [count(layers.lut if layers else None), signed(report.totals.difference["lut"])]
    _row(table, total, style="bold")
    return table


def fifo_table(report: Report) -> RenderableType:
    """The FIFOs and what they hold."""
    columns = [("FIFO", "left"), ("holds", "left"), ("beats", "right"), ("bits", "right")]
    table = _table(columns)
    for fifo in report.fifos:
        holds = f"{fifo.tensor} ({fifo.label})"
        _row(table, [fifo.name, holds, count(fifo.depth), count(fifo.bits)])
    return table


def event_table(report: Report) -> RenderableType:
    """What event-driven layers are planned for, and, once verified, what they got."""
    activity = report.activity
    assert activity is not None
    seen = report.verify.events if report.verify else None
    columns = [("events a step", "left"), (activity.describe(), "right")]
    columns += [(f"seen in {seen.frames:,} frames ({seen.vectors})", "right")] if seen else []
    table = _table(columns)
    for row in event_rows(report):
        got = [] if row.seen is None else [significant(row.seen)]
        _row(table, [row.layer, significant(row.expected), *got])
    return table


def _cost(cost: Cost) -> list[str]:
    return [count(getattr(cost, kind)) for kind in KINDS]


def _board(report: Report) -> RenderableType:
    """Bars: how full the board is."""
    title = f"{report.board.name} ({report.board.device}), {report.totals.usage_source}"
    table = _table([("", "left"), ("used", "right"), ("of", "right"), ("", "right"), ("", "left")])
    table.title = _text(title, "bold")
    for usage in report.totals.board_usage:
        full = usage.percent or 0.0
        bar = _text("█" * round(min(full, 100) / 4) or "▏", "red" if full > 100 else "cyan")
        cells = [usage.label, count(usage.used), count(usage.available), percent(usage.percent)]
        _row(table, [*cells, bar])
    return table


def verify_table(report: VerifyReport) -> RenderableType:
    """The verdict, the evidence link by link, then the benches."""
    columns = [("comparison", "left"), ("vectors", "left"), ("frames", "right")]
    columns += [("codes", "right"), ("mismatches", "right"), ("explained", "right")]
    table = _table([*columns, ("seed", "right"), ("time", "right")], "Verification")
    for link in report.evidence:
        bad = _text(count(link.mismatches), "bold red" if link.mismatches else "green")
        seed = "" if link.seed is None else link.seed
        cells = [link.link, link.vectors, count(link.frames), count(link.codes), bad]
        _row(table, [*cells, count(link.explained), seed, seconds(link.seconds)])
    for bench in report.benches:
        verdict = _text("pass" if bench.passed else "FAIL", "green" if bench.passed else "bold red")
        seed = "" if bench.seed is None else bench.seed
        cells = [f"{bench.engine}: {bench.name}", bench.message, count(bench.frames), "", verdict]
        _row(table, [*cells, "", seed, seconds(bench.seconds)])
    return Group(headline(verdict_of(report)), table)


def spiking_table(report: SpikingReport) -> RenderableType:
    """How active a spiking network was, what that cost, and what models say of its energy."""
    columns = [("layer", "left"), ("neurons", "right"), ("firing rate", "right")]
    columns += [("active inputs", "right"), ("synaptic operations", "right"), ("of dense", "right")]
    title = f"Spikes, {count(report.frames)} frames ({report.vectors}), {report.steps} steps"
    table = _table(columns, title)
    for layer in report.layers:
        rate = "—" if layer.rate is None else percent(100 * layer.rate)
        fed = [percent(100 * layer.inputs_active), count(round(layer.synaptic_operations))]
        fed += [count(layer.dense_operations)]
        _row(table, [layer.name, count(layer.neurons), rate, *(fed if layer.synapses else "———")])
    budget = (
        f"Bit Budget {count(report.bit_budget)}, S-ACE {si(report.s_ace)}, "
        f"NS-ACE {si(report.ns_ace)}; {report.equivalent_bits}-bit quantized network "
        f"{si(report.equivalent_ace)} (computed; none was trained)"
    )
    energy = ", ".join(
        f"{e.name} {e.spiking_nj:.3g} nJ (quantized network {e.baseline_nj:.3g} nJ)"
        for e in report.energy
    )
    counted = ", neurons and state counted" if any(e.terms for e in report.energy) else ""
    return Group(table, _text(budget), _text(f"Energy models, not measurements{counted}: {energy}"))


def learning_table(report: LearningReport) -> RenderableType:
    """What a design learned, and what that takes."""
    table = _table([("learning on the chip", "left"), ("", "left")], "Learning")
    several = "passes" if report.passes > 1 else "pass"
    passes = f"{count(report.frames)} frames, {report.passes} {several} over {report.data}"
    _row(table, ["training run", passes])
    right = f"{report.before:.2%} before, {report.after:.2%} after"
    _row(table, [f"accuracy, {count(report.test_frames)} test frames", right])
    curve = "  ".join(f"{p.accuracy:.0%}" for p in report.curve[:: max(1, len(report.curve) // 8)])
    _row(table, ["while it learns", curve])
    if report.cycles_learning is not None and report.cycles_passing is not None:
        cycles = f"{report.cycles_learning:g} learning, {report.cycles_passing:g} without"
        _row(table, ["cycles a frame, measured", cycles])
    changed = f"{count(report.weights_changed)} of {count(report.weights)} changed"
    _row(table, ["weights, read over AXI4-Lite", changed])
    _row(table, ["words compared as written", count(report.words)])
    return table


def synth_table(report: SynthReport) -> RenderableType:
    """Resources by layer and in total, Fmax."""
    table = _table([("", "left"), *((label, "right") for label in KINDS.values())])
    for name, cost in report.per_layer.items():
        _row(table, [name, *_cost(cost)])
    _row(table, ["total (yosys)", *_cost(report.total)], style="bold")
    if report.placed:
        _row(table, ["placed (nextpnr)", *_cost(report.placed)], style="bold")
    _row(table, ["board", *_cost(report.capacity)], style="dim")
    fmax = f"{report.fmax_mhz:.1f} MHz" if report.fmax_mhz else NOT_RUN
    source = "from the cache" if report.cached else seconds(report.seconds)
    return Group(table, _text(f"Fmax {fmax}  ({source}, seed {report.seed})", "bold"))


def _path(report: Report) -> RenderableType:
    path = report.critical_path
    assert path is not None
    text = _text(f"Critical path, {path.delay_ns:.2f} ns", "bold")
    for hop in path.hops:
        text.append(f"\n  {printable(hop)}", style="default not bold")
    return text


def doctor_table(rows: Sequence[Any]) -> RenderableType:
    """Rows of :func:`codesign.toolchain.doctor.check_all`."""
    table = _table(
        [(h, "left") for h in ("", "what", "needed by", "found", "wanted", "what to do")]
    )
    for row in rows:
        mark = _text("ok", "green") if row.ok else _text("missing", "bold red")
        if not row.ok and row.found != "—":
            mark = _text("check", "bold red")
        _row(table, [mark, row.name, row.verb, row.found, row.wanted, row.hint])
    return table
