"""Where the boxes and edges of the network picture go. Lengths are SVG user units (px at 100 %)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from codesign.manifest import Edge
from codesign.report.model import LayerRow, Report
from codesign.report.units import folding

BOX_W, BOX_H = 172, 92
PORT_W = 64
GAP_X, GAP_Y = 98, 28
#: Height of the lane below the boxes that skipping edges share.
LANE_H = 56
MARGIN = 10
NAME_CHARS, LINE_CHARS, EDGE_CHARS = 18, 26, 13

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Box:
    """A layer (or the input, the output) at its place; ``lines`` stand below its name."""

    name: str
    full_name: str
    lines: list[str]
    kind: str
    x: int
    y: int
    w: int
    h: int
    bottleneck: bool


@dataclass(frozen=True)
class Line:
    """An edge as an SVG path; at (x, y) its text: ``kind`` above, ``scale`` and ``shape`` below."""

    d: str
    x: float
    y: float
    kind: str
    scale: str
    shape: str
    full: str


@dataclass(frozen=True)
class Picture:
    """The whole picture."""

    width: int
    height: int
    boxes: list[Box]
    lines: list[Line]


def pretty_format(label: str) -> str:
    """``int4 x 2^-3`` as ``int4 · 2⁻³``."""
    raised = re.sub(r"2\^(-?\d+)", lambda m: "2" + m.group(1).translate(SUPERSCRIPT), label)
    return re.sub(r"(?<=\w) x (?=\S)", " · ", raised)


def shorten(text: str, limit: int) -> str:
    """At most ``limit`` characters, an ellipsis in the middle."""
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def picture(report: Report) -> Picture:
    """Layers from left to right by their distance from the input; branches below each other."""
    rows = {row.name: row for row in report.layers}
    columns = _columns(report)
    taken: dict[int, int] = {}
    tallest = max((list(columns.values()).count(c) for c in columns.values()), default=1)
    boxes: dict[str, Box] = {}
    x_of = _column_x(columns, rows)
    for name, column in columns.items():
        index = taken.get(column, 0)
        taken[column] = index + 1
        column_height = list(columns.values()).count(column) * (BOX_H + GAP_Y) - GAP_Y
        top = MARGIN + (tallest * (BOX_H + GAP_Y) - GAP_Y - column_height) // 2
        boxes[name] = _box(name, rows.get(name), x_of[column], top + index * (BOX_H + GAP_Y))
    height = 2 * MARGIN + tallest * (BOX_H + GAP_Y) - GAP_Y
    lines = [
        _line(boxes[edge.source], boxes[edge.target], edge, columns, height)
        for edge in report.edges
        if edge.source in boxes and edge.target in boxes
    ]
    width = max((b.x + b.w for b in boxes.values()), default=0) + MARGIN
    around = any(_skips(edge, columns) for edge in report.edges)
    return Picture(width, height + (LANE_H if around else 0), [*boxes.values()], lines)


def _skips(edge: Edge, columns: Mapping[str, int]) -> bool:
    """Whether an edge passes boxes of other columns on its way."""
    return columns.get(edge.target, 0) - columns.get(edge.source, 0) != 1


def _columns(report: Report) -> dict[str, int]:
    """Column of each node: the longest way from a source (bounded, should there be a cycle)."""
    names = [edge.source for edge in report.edges] + [edge.target for edge in report.edges]
    names = list(dict.fromkeys([*names, *(row.name for row in report.layers)]))
    column = dict.fromkeys(names, 0)
    for _ in names:
        for edge in report.edges:
            reach = min(column[edge.source] + 1, len(names) - 1)
            column[edge.target] = max(column[edge.target], reach)
    return dict(sorted(column.items(), key=lambda item: item[1]))


def _column_x(columns: Mapping[str, int], rows: Mapping[str, LayerRow]) -> dict[int, int]:
    """Left side of each column; a column of ports only is narrow."""
    x, result = MARGIN, {}
    for column in sorted(set(columns.values())):
        result[column] = x
        names = [name for name, c in columns.items() if c == column]
        x += (BOX_W if any(name in rows for name in names) else PORT_W) + GAP_X
    return result


def _box(name: str, row: LayerRow | None, x: int, y: int) -> Box:
    if row is None:
        return Box(name, name, [], "port", x, y + BOX_H // 2 - 18, PORT_W, 36, False)
    fold = folding(row.style, row.pe, row.simd, row.pixels)
    timing = f"II {row.ii:,} · latency {row.latency:,}"
    lines = [
        shorten(row.op, LINE_CHARS),
        f"{row.style} {fold}".strip(),
        timing if len(timing) <= LINE_CHARS else f"II {row.ii:,}",  # the table has both
    ]
    return Box(shorten(name, NAME_CHARS), name, lines, "layer", x, y, BOX_W, BOX_H, row.bottleneck)


def _line(a: Box, b: Box, edge: Edge, columns: Mapping[str, int], height: int) -> Line:
    """A straight or S-shaped edge, its text in the middle of the gap; one that skips columns
    runs below the boxes."""
    x0, y0 = a.x + a.w, a.y + a.h / 2
    x1, y1 = b.x - 6, b.y + b.h / 2
    bend, middle = (x1 - x0) / 2, (y0 + y1) / 2
    d = f"M{x0},{y0:g} C{x0 + bend:g},{y0:g} {x1 - bend:g},{y1:g} {x1},{y1:g}"
    if _skips(edge, columns):
        middle, turn = height + LANE_H / 2, GAP_X / 2
        d = (
            f"M{x0},{y0:g} C{x0 + turn:g},{y0:g} {x0 + turn / 2:g},{middle:g} "
            f"{x0 + turn:g},{middle:g} L{x1 - turn:g},{middle:g} "
            f"C{x1 - turn / 2:g},{middle:g} {x1 - turn:g},{y1:g} {x1},{y1:g}"
        )
    shape, kind, scale = edge_text(edge.label)
    scale = f"FIFO {edge.fifo:,}" if edge.fifo else scale
    return Line(
        d=d,
        x=(x0 + x1) / 2,
        y=middle,
        kind=shorten(kind, EDGE_CHARS),
        scale=shorten(scale, EDGE_CHARS),
        shape=shorten(shape, EDGE_CHARS),
        full=f"{edge.label}, FIFO of {edge.fifo:,} beats" if edge.fifo else edge.label,
    )


def edge_text(label: str) -> tuple[str, str, str]:
    """``1x64 int4 x 2^-3`` as shape ``64``, kind ``int4`` and scale ``2⁻³``."""
    shape, _, rest = label.partition(" ")
    if not rest or not re.fullmatch(r"[\dx]+", shape):
        shape, rest = "", label
    kind, _, scale = pretty_format(rest).partition(" · ")
    return re.sub(r"^1x(?=\d)", "", shape).replace("x", " × "), kind, scale
