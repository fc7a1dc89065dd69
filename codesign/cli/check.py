"""``codesign check``: everything about a model that can be said without generating."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from codesign.api import Check
from codesign.cli.check_loops import inside_as_json
from codesign.frontend.survey import Row


def as_json(check: Check) -> dict[str, Any]:
    """Plain data: ``supported``, ``tensors`` in execution order, ``blockers``; where there is a
    Scan ``loops``, and of a spiking network ``time`` (docs/IMPORT.md has the fields)."""
    return {
        "model": check.model,
        "supported": check.supported,
        "host": [step.model_dump() for step in check.host],
        "tensors": [_plain(row) for row in check.survey.rows],
        **inside_as_json(check.survey),
        "blockers": [
            {"where": b.where, "problem": b.problem, "hint": b.hint, "holds_up": list(b.holds_up)}
            for b in check.blockers
        ],
        "layers": [{"name": name, "operation": kind} for name, kind in check.layers],
    }


def _plain(row: Row) -> dict[str, Any]:
    known = {
        "node": row.node,
        "operator": row.operator,
        "tensor": row.tensor,
        "status": row.status,
        "shape": row.shape,
        "format": row.format,
        "codes": row.codes,
        "values": row.values,
        "problem": row.problem,
        "hint": row.hint,
        "waits_for": list(row.waits_for),
        "scan": row.scan,
    }
    return {key: value for key, value in known.items() if value not in (None, "", [])}


def tensor_table(check: Check) -> Table:
    """One line for each tensor worth one: shape arithmetic between constants is left out. What is
    in the body of a Scan stands indented, before what leaves it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (("tensor", "left"), ("operator", "left"), ("shape", "left"),
                           ("format", "left"), ("codes", "right"), ("values", "right"),
                           ("", "left")):  # fmt: skip
        table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]
    loops, scan = iter(check.survey.loops), ""
    for row in check.survey.rows:
        if row.minor or (row.status == "constant" and row.codes is None):
            continue
        if row.scan and row.scan != scan:
            steps = next(loops).steps
            count = f"{steps} step{'s' if steps > 1 else ''}"
            table.add_row(f"[bold]{escape(row.scan)}[/bold]", "", f"[bold]{count}[/bold]", "each:")
        scan = row.scan
        table.add_row(
            escape(f"  {row.tensor}" if scan else row.tensor),
            escape(row.operator),
            "" if row.shape is None else " x ".join(map(str, row.shape)),
            escape(row.format),
            "" if row.codes is None else f"{row.codes[0]}..{row.codes[1]}",
            "" if row.values is None else f"{row.values[0]:.4g}..{row.values[1]:.4g}",
            _STATUS[row.status],
        )
    return table


_STATUS = {
    "input": "",
    "computed": "",
    "constant": "constant",
    "state": "state",
    "blocked": "[bold red]blocked[/bold red]",
    "waiting": "[yellow]waiting[/yellow]",
}


def verdict(check: Check) -> list[Text]:
    """What blocks, one paragraph each; or that nothing does."""
    if check.supported:
        said = f"\n[bold green]supported[/bold green]: {len(check.layers)} layers of hardware"
        return [Text.from_markup(said)]
    count = len(check.blockers)
    plural = "s block" if count > 1 else " blocks"
    lines = [Text.from_markup(f"\n[bold red]{count} problem{plural}[/bold red]")]
    for blocker in check.blockers:
        lines.append(Text(f"\n{blocker.where}: {blocker.problem}"))
        if blocker.hint:
            lines.append(Text(f"  hint: {blocker.hint}"))
        if blocker.holds_up:
            names = ", ".join(blocker.holds_up[:4])
            more = len(blocker.holds_up) - 4
            lines.append(Text(f"  holds up: {names}{f' and {more} more' if more > 0 else ''}"))
    return lines
