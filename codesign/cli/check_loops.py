"""``codesign check`` of networks that work in steps: neurons, what is carried, time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from codesign.frontend.survey import Loop, Survey
from codesign.frontend.survey_flow import Carried
from codesign.frontend.survey_loop import Neurons


def inside_as_json(survey: Survey) -> dict[str, Any]:
    """``time`` of a spiking network, ``loops`` where there is a Scan; else nothing."""
    found: dict[str, Any] = {}
    if survey.time is not None:
        parts = {"encoder": survey.encoder, "decoder": survey.decoder}
        found["time"] = {**survey.time.model_dump(), **parts}
    if survey.loops:
        found["loops"] = [asdict(loop) for loop in survey.loops]
    return found


def inside(survey: Survey) -> Iterator[Text | Table]:
    """One line for each layer of neurons, each tensor that is carried, and time."""
    for loop in survey.loops:
        if loop.neurons:
            yield _heading("neurons")
            yield _grid([(n.layer, _kind(n), _step(n)) for n in loop.neurons])
        if loop.carried:
            yield _heading("from step to step")
            yield _grid([(c.tensor, _what(c), _way(c)) for c in loop.carried])
    rows = list(_time(survey))
    if rows:
        yield _heading("time")
        yield _grid(rows)


def _heading(title: str) -> Text:
    return Text.from_markup(f"\n[bold]{title}[/bold]")


def _grid(rows: list[tuple[str, str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*map(escape, row))
    return grid


def _kind(layer: Neurons) -> str:
    """``8 LIF (loihi)``"""
    shape = " x ".join(map(str, layer.shape))
    return f"{shape} {layer.kind}{f' ({layer.preset})' if layer.preset else ''}"


def _step(layer: Neurons) -> str:
    """What a step does, in one line."""
    parts = [f"{about} {phrase}" for about, phrase in layer.traits.items()]
    words = [f"{w.name} {w.format} {w.overflow}" for w in layer.states]
    parts.append(f"states {', '.join(words)}" if words else "no states")
    parts.append(f"fed by {', '.join(layer.fed_by)}" if layer.fed_by else "fed by constants")
    return "; ".join(parts)


def _what(c: Carried) -> str:
    return f"{' x '.join(map(str, c.shape))} {c.format}" if c.format else "unknown"


def _way(c: Carried) -> str:
    """``layer0 -> layer0, 1 step later, through back: recurrent``"""
    ends = [", ".join(c.written_by) or c.source, ", ".join(c.read_by or c.through) or "nothing"]
    later = f"{c.steps} step{'s' if c.steps > 1 else ''} later"
    through = f", through {', '.join(c.through)}" if c.read_by and c.through != c.read_by else ""
    return f"{' -> '.join(ends)}, {later}{through}: {'recurrent' if c.recurrent else 'delay'}"


def _time(survey: Survey) -> Iterator[tuple[str, str, str]]:
    time = survey.time
    if time is not None:
        windows = "start anew" if time.reset_at_window else "go on where the last one ended"
        yield "window", f"{time.steps} steps", f"{time.dt:.10g} s each; states {windows}"
        by = f"by {survey.encoder} in the circuit" if survey.encoder else "before the model"
        yield "encoding", time.encoding, by
        smoothed = f"by {survey.decoder} in the circuit" if survey.decoder else ""
        yield "readout", time.readout, smoothed
        return
    for loop in survey.loops:
        yield loop.node, f"{loop.steps} steps", _anew(loop)


def _anew(loop: Loop) -> str:
    return "states go on from frame to frame" if loop.goes_on else "states start anew each frame"
