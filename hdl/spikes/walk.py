"""From the address of an event to every output that sees it: the walk of a convolution."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Const, Module, Signal, Value

from codesign.hdl.memories import Counter
from codesign.hdl.spikes.geometry import Axis, divided


@dataclass
class Slot:
    """One cycle's work, comb: a weight row to add to an accumulator word, or a step's ``end``.

    ``channel``: which lane group alone counts (None: all of them). ``go`` is high where the slot
    is accepted."""

    valid: Value
    end: Value
    row: Value
    word: Value
    count: Value
    channel: Value | None = None


class FrontRegisters:
    """In time: ``count`` registers in a row on the way to the slots, each free again when its
    event moves on."""

    def __init__(self, count: int) -> None:
        self._entered = [-1] * count  # when the event before entered each register
        #: The last slot of the event before.
        self.finished = -1

    def enter(self, t: int) -> tuple[int, int]:
        """(cycle in which an event offered at ``t`` is taken, cycle from which its slots may
        come)."""
        entered = self._entered
        t = max(t, entered[0] + 1)
        for k in range(len(entered)):
            following = entered[k + 1] if k + 1 < len(entered) else self.finished
            t = max(t, following)
            entered[k], t = t, t + 1
        return entered[0], t


class Walk:
    """Events over maps of ``axes`` (vertical, horizontal) with ``channels``: which output pixels
    see each, through which taps. A pixel has ``folds`` words; with ``depthwise`` an event touches
    only the word of its channel, ``side`` channels in each.
    """

    #: Registers an event passes before its first slot.
    front = 3

    def __init__(
        self, axes: tuple[Axis, Axis], channels: int, folds: int, *, depthwise: bool, side: int = 1
    ) -> None:
        self.axes, self.channels, self.folds = axes, channels, folds
        self.depthwise, self._side = depthwise, side
        #: Addresses, words of all pixels, weight rows of all taps.
        self.inputs = axes[0].size * axes[1].size * channels
        self.words = axes[0].outputs * axes[1].outputs * folds
        self.rows = axes[0].kernel * axes[1].kernel * self._tap_rows

    def slots(self, address: int) -> int:
        """Cycles an event of this address takes, at least 1."""
        pixel = address // self.channels
        seen = [
            axis.reach(at).count
            for axis, at in zip(self.axes, divmod(pixel, self.axes[1].size), strict=True)
        ]
        return max(1, seen[0] * seen[1] * (1 if self.depthwise else self.folds))

    def words_of(self, address: int) -> np.ndarray:
        """The words of a depthwise event, int64, in the order of its slots; none where no pixel
        sees it."""
        pixel, channel = divmod(address, self.channels)
        across = self.axes[1]
        found = []
        for axis, at in zip(self.axes, divmod(pixel, across.size), strict=True):
            reach = axis.reach(at)
            found.append(reach.out - axis.out_step * np.arange(reach.count))
        pixels = found[0][:, None] * across.outputs + found[1][None, :]
        return (pixels * self.folds + channel // self._side).reshape(-1)

    @property
    def _tap_rows(self) -> int:
        """Weight rows of one tap."""
        return self.folds if self.depthwise else self.channels * self.folds

    def slot(self, m: Module, i: Any, count: Value, free: Value) -> Slot:
        """Address to pixel and channel, to row and column, to where its walk begins; the walk.

        Drives ``i.ready`` of the stream ``i`` of events, whose offered one counts ``count``;
        ``free``: a slot is accepted now."""
        finish, active = Signal(name="finish"), Signal(name="active")
        last_moves = Signal(name="walk_takes")
        m.d.comb += last_moves.eq(~active | finish)
        data = i.payload.data
        chain = _Chain(m, [("pixel", i.valid), ("place", None)], last_moves)
        m.d.comb += i.ready.eq(chain.takes[0])
        pixel, channel = divided(m, data.address, self.inputs, self.channels, "address")
        one = [chain.keep(0, v) for v in (pixel, channel, data.step_end, count)]
        area = self.axes[0].size * self.axes[1].size
        y, x = divided(m, one[0], area, self.axes[1].size, "pixel")
        two = [chain.keep(1, v) for v in (y, x, *one[1:])]
        with m.If(last_moves):
            m.d.sync += active.eq(chain.valid[1])
        return self._walk(m, two, last_moves, active, finish, free)

    def _walk(
        self,
        m: Module,
        event: list[Value],
        load: Value,
        active: Value,
        finish: Signal,
        free: Value,
    ) -> Slot:
        y, x, channel, end_in, count_in = event
        begin = self._beginning(m, y, x, channel)
        held = {name: Signal.like(value, name=f"walk_{name}") for name, value in begin.items()}
        end, count = Signal(name="walk_end"), Signal.like(count_in, name="walk_count")
        with m.If(load):
            m.d.sync += [end.eq(end_in), count.eq(count_in)]
            m.d.sync += [held[name].eq(value) for name, value in begin.items()]
        step = Signal(name="walk_step")
        m.d.comb += step.eq(active & free & ~end & ~held["none"])
        fold = Counter(m, "fold", 1 if self.depthwise else self.folds, step)
        ends = Signal(name="walk_ends")
        m.d.comb += [
            ends.eq(fold.last & (held["columns"] == 0) & (held["rows"] == 0)),
            finish.eq(active & free & (end | held["none"] | ends)),
        ]
        with m.If(step & ~ends):
            self._advance(m, held, fold)
        return Slot(
            valid=active & (end | ~held["none"]),
            end=end,
            row=held["row"],
            word=held["word"],
            count=count,
            channel=held.get("channel"),
        )

    def _advance(self, m: Module, held: dict[str, Signal], fold: Counter) -> None:
        """To the next fold, the next column, or the first column of the next row."""
        vertical, horizontal = self.axes
        rewind = 0 if self.depthwise else self.folds - 1
        line = horizontal.outputs * self.folds
        with m.If(~fold.last):
            for name in ("word", "row"):
                m.d.sync += held[name].eq(held[name] + 1)
        with m.Elif(held["columns"] != 0):
            m.d.sync += [
                held["columns"].eq(held["columns"] - 1),
                held["word"].eq(held["word"] - (rewind + horizontal.out_step * self.folds)),
                held["row"].eq(held["row"] - rewind + horizontal.tap_step * self._tap_rows),
            ]
        with m.Else():
            taps = vertical.tap_step * horizontal.kernel * self._tap_rows
            word = held["line_word"] - vertical.out_step * line
            row = held["line_row"] + taps
            m.d.sync += [
                held["rows"].eq(held["rows"] - 1),
                held["columns"].eq(held["all_columns"]),
                *(held[name].eq(word) for name in ("word", "line_word")),
                *(held[name].eq(row) for name in ("row", "line_row")),
            ]

    def _beginning(self, m: Module, y: Value, x: Value, channel: Value) -> dict[str, Value]:
        """Where the walk of an event begins, and how many rows and columns more it has."""
        vertical, horizontal = self.axes
        line, tap = horizontal.outputs * self.folds, self._tap_rows
        tall = [vertical.reach(n) for n in range(vertical.size)]
        wide = [horizontal.reach(n) for n in range(horizontal.size)]
        rows = _table(m, y, [max(0, r.count - 1) for r in tall], "rows")
        columns = _table(m, x, [max(0, r.count - 1) for r in wide], "columns")
        none = _table(m, y, [r.count == 0 for r in tall], "no_rows") | _table(
            m, x, [r.count == 0 for r in wide], "no_columns"
        )
        fold, begin = channel, {}
        if self.depthwise:
            fold, side = divided(m, channel, self.channels, self._side, "channel")
            begin["channel"] = side
        first: Value = fold if self.depthwise else Const(0, 1)
        chosen: Value = fold if self.depthwise else channel * self.folds
        word = Signal(range(max(2, self.words)), name="first_word")
        row = Signal(range(max(2, self.rows)), name="first_row")
        m.d.comb += [
            word.eq(
                _table(m, y, [r.out * line for r in tall], "row_word")
                + _table(m, x, [r.out * self.folds for r in wide], "column_word")
                + first
            ),
            row.eq(
                _table(m, y, [r.tap * horizontal.kernel * tap for r in tall], "row_taps")
                + _table(m, x, [r.tap * tap for r in wide], "column_taps")
                + chosen
            ),
        ]
        return begin | {
            "none": none,
            "rows": rows,
            "columns": columns,
            "all_columns": columns,
            "word": word,
            "line_word": word,
            "row": row,
            "line_row": row,
        }


class _Chain:
    """Registers in a row, each taking when it is empty or the next one takes from it."""

    def __init__(
        self, m: Module, stages: list[tuple[str, Value | None]], takes_last: Value
    ) -> None:
        self._m, self._count = m, 0
        self.valid = [Signal(name=f"{name}_valid") for name, _ in stages]
        self.takes: list[Value] = []
        following = takes_last
        for valid in reversed(self.valid):
            takes = Signal(name=f"{valid.name}_takes")
            m.d.comb += takes.eq(~valid | following)
            self.takes.insert(0, takes)
            following = takes
        source = stages[0][1]
        for valid, takes in zip(self.valid, self.takes, strict=True):
            with m.If(takes):
                m.d.sync += valid.eq(source)
            source = valid

    def keep(self, stage: int, value: Value) -> Signal:
        """The value's register in ``stage``."""
        self._count += 1
        held = Signal(value.shape(), name=f"kept{stage}_{self._count}", reset_less=True)
        with self._m.If(self.takes[stage]):
            self._m.d.sync += held.eq(value)
        return held


def _table(m: Module, index: Value, entries: list[int], name: str) -> Value:
    """A small table in logic."""
    found = Signal(range(max(2, max(entries) + 1)), name=name)
    if len(set(entries)) == 1:
        m.d.comb += found.eq(entries[0])
        return found
    with m.Switch(index):
        for n, entry in enumerate(entries):
            with m.Case(n):
                m.d.comb += found.eq(entry)
    return found
