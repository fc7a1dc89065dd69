"""Build a Requant from the functions of its channels: as steps, as levels, or as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format
from codesign.ops.requant import NONE, Requant

#: A function that is not monotone is held as a table up to this many inputs.
TABLE_WORDS = 1 << 14
#: Steps a function may have beyond that.
MAX_STEPS = 1 << 12


@dataclass(frozen=True)
class Row:
    """A function of an integer: ``codes[i]`` from ``breaks[i - 1]`` (the range's start) on.

    ``breaks``: int64 [n] ascending; ``codes``: int64 [n + 1], neighbours differ.
    """

    breaks: np.ndarray
    codes: np.ndarray


def assemble(
    rows: Sequence[Row],
    lo: int,
    hi: int,
    format: Format,
    levels: np.ndarray | None = None,
    *,
    where: str = "",
) -> Requant:
    """The Requant of ``rows`` over ``lo..hi``; ``levels``: all codes of an irregular quantizer."""
    rows = _merged(rows)
    if _monotone(rows):
        if levels is not None:
            return _on_levels(rows, lo, hi, format, levels)
        if all(_gentle(row) for row in rows):
            return _steps(rows, lo, hi, format, NONE)
    if hi - lo + 1 <= TABLE_WORDS:
        return _table(rows, lo, hi, format)
    if max(len(row.breaks) for row in rows) > MAX_STEPS:
        raise UnsupportedModel(
            f"the function between an accumulator of {hi - lo + 1} values and its quantizer has "
            f"more than {MAX_STEPS} steps and is not monotone",
            where=where,
            hint="use fewer bits in the quantizer, or fewer in the weights and activations",
        )
    return _jumps(rows, lo, hi, format)


def _merged(rows: Sequence[Row]) -> Sequence[Row]:
    first = rows[0]
    same = all(
        np.array_equal(r.breaks, first.breaks) and np.array_equal(r.codes, first.codes)
        for r in rows[1:]
    )
    return rows[:1] if same else rows


def _monotone(rows: Sequence[Row]) -> bool:
    return all((d >= 0).all() or (d <= 0).all() for d in (np.diff(r.codes) for r in rows))


def _gentle(row: Row) -> bool:
    """Whether its steps are mostly of one code, so that counting thresholds makes sense."""
    return len(row.codes) < 2 or abs(int(row.codes[-1] - row.codes[0])) <= 4 * len(row.codes) + 64


def _on_levels(
    rows: Sequence[Row], lo: int, hi: int, format: Format, levels: np.ndarray
) -> Requant:
    """Steps between the places of codes among ``levels``, cut to those that occur."""
    numbered = [Row(r.breaks, np.searchsorted(levels, r.codes)) for r in rows]
    least = min(int(r.codes.min()) for r in numbered)
    most = max(int(r.codes.max()) for r in numbered)
    numbered = [Row(r.breaks, r.codes - least) for r in numbered]
    return _steps(numbered, lo, hi, format, levels[None, least : most + 1])


def _steps(rows: Sequence[Row], lo: int, hi: int, format: Format, levels: np.ndarray) -> Requant:
    delta = [np.diff(row.codes) for row in rows]
    reached = [np.repeat(r.breaks, np.abs(d)) for r, d in zip(rows, delta, strict=True)]
    thresholds = _padded(reached, hi + 1)
    base = np.array([int(row.codes[0]) for row in rows], dtype=np.int64)
    step = np.array([-1 if (d < 0).any() else 1 for d in delta], dtype=np.int64)
    return Requant(lo, hi, base, step, thresholds, NONE, format, levels)


def _jumps(rows: Sequence[Row], lo: int, hi: int, format: Format) -> Requant:
    """Thresholds where the code changes, and the code of each interval between them."""
    thresholds = _padded([row.breaks for row in rows], hi + 1)
    width = thresholds.shape[1] + 1
    levels = np.stack([np.pad(r.codes, (0, width - len(r.codes)), mode="edge") for r in rows])
    one = np.ones(len(rows), dtype=np.int64)
    return Requant(lo, hi, 0 * one, one, thresholds, NONE, format, levels)


def _table(rows: Sequence[Row], lo: int, hi: int, format: Format) -> Requant:
    x = np.arange(lo, hi + 1)
    table = np.stack([row.codes[np.searchsorted(row.breaks, x, "right")] for row in rows])
    none = np.zeros(0, dtype=np.int64)
    return Requant(lo, hi, none, none, NONE, table, format)


def _padded(rows: Sequence[np.ndarray], fill: int) -> np.ndarray:
    out = np.full((len(rows), max(len(r) for r in rows)), fill, dtype=np.int64)
    for line, row in zip(out, rows, strict=True):
        line[: len(row)] = row
    return out
