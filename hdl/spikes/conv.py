"""A convolution that only spikes cost cycles: each updates the outputs around it."""

from typing import Any, Literal

import numpy as np
from amaranth.hdl import Const, Module, Signal, Value

from codesign.hdl.memories import Counter
from codesign.hdl.spikes.accumulate import Store
from codesign.hdl.spikes.dense import integers, possible, sum_range
from codesign.hdl.spikes.geometry import Axis, divided
from codesign.hdl.spikes.layer import EventLayer, Slot, count_of
from codesign.hdl.stream import range_shape
from codesign.spikes import layers


class EventConv(EventLayer):
    """``currents[t, y, x, m] = sum weights[ky, kx, c, m] * spikes[t, sy*y + dy*ky - top, ..., c]``
    plus ``bias[m]``, exactly (:func:`codesign.spikes.layers.conv`).

    weights: int [KH, KW, C, M]; with ``depthwise`` [KH, KW, C, m], M = C * m, channel by channel.
    ``size``: (H, W) of the input; ``padding``: top, bottom, left, right. ``i``: events over
    H * W * C elements, channels last; ``o``: beats of ``slice`` currents, H' * W' * M a step.

    ``lanes`` (divides M; ``slice`` divides it) weights are added a cycle: an event takes M / lanes
    cycles for each output pixel that sees it (depthwise: one cycle; ``m`` divides ``lanes``), at
    least one, and nothing lies between events. Currents are handed on while the next step's
    events come. ``loadable``: as in :class:`EventDense`.
    """

    front = 3

    def __init__(
        self,
        weights: np.ndarray,
        *,
        size: tuple[int, int],
        steps: int,
        lanes: int,
        slice: int,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: tuple[int, int] = (1, 1),
        depthwise: bool = False,
        levels: int = 1,
        signed: bool = False,
        bias: np.ndarray | None = None,
        weight_memory: str = "auto",
        merge: Literal["sum", "or"] = "sum",
        loadable: tuple[int, int] | None = None,
        out_range: tuple[int, int] | None = None,
    ) -> None:
        weights = integers(weights, 4)
        kh, kw, channels, each = weights.shape
        outputs = channels * each if depthwise else each
        if lanes < 1 or slice < 1 or outputs % lanes or lanes % slice:
            raise ValueError(
                f"lanes must divide the {outputs} output channels and slice the lanes, got "
                f"{lanes} lanes, slice {slice}"
            )
        if depthwise and lanes % each:
            raise ValueError(f"{lanes} lanes are no whole number of channels of {each} outputs")
        if bias is not None and np.shape(bias) != (outputs,):
            raise ValueError(f"{outputs} outputs need as many biases, got {np.shape(bias)}")
        self.axes = tuple(
            Axis(size[n], (kh, kw)[n], stride[n], dilation[n], *padding[2 * n : 2 * n + 2])
            for n in range(2)
        )
        self.channels, self.depthwise, self.weights = channels, depthwise, weights
        self._how: dict[str, Any] = {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "depthwise": depthwise,
            "bias": bias,
        }
        self.folds, self._lanes = outputs // lanes, lanes
        self._side = lanes // each if depthwise else 1  # channels of a word
        words = self.axes[0].outputs * self.axes[1].outputs * self.folds
        per_output = np.moveaxis(weights.reshape(kh * kw, channels, each), 0, 2)
        if not depthwise:
            per_output = per_output.transpose(1, 0, 2)
        sums = sum_range(possible(per_output.reshape(outputs, -1), loadable), levels, signed)
        if merge == "or":
            sums = (0, 1)
        super().__init__(
            inputs=size[0] * size[1] * channels,
            levels=levels,
            signed=signed,
            steps=steps,
            rows=self.rows_of(weights),
            store=Store(words, lanes, slice, words * lanes // slice, range_shape(*sums), merge),
            sums=sums,
            bias=bias,
            weight_memory=weight_memory,
            group=each,
            loadable=loadable,
            out_range=out_range,
        )

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """(H', W', M)."""
        return self.axes[0].outputs, self.axes[1].outputs, self.folds * self.store.lanes

    def rows_of(self, weights: np.ndarray) -> list[list[int]]:
        """Tap by tap, in each channel by channel (depthwise: ``lanes`` of all of them)."""
        found: list[list[int]] = weights.reshape(-1, self._lanes).tolist()
        return found

    def slots(self, address: int) -> int:
        pixel = address // self.channels
        seen = [
            axis.reach(at).count
            for axis, at in zip(self.axes, divmod(pixel, self.axes[1].size), strict=True)
        ]
        return max(1, seen[0] * seen[1] * (1 if self.depthwise else self.folds))

    def reference(self, spikes: np.ndarray) -> np.ndarray:
        size = (self.axes[0].size, self.axes[1].size, self.channels)
        found = layers.conv(spikes.reshape(*spikes.shape[:2], *size), self.weights, **self._how)
        if self.store.merge == "or":
            found = (found > 0).astype(np.int64)
        return found.reshape(*spikes.shape[:2], -1)

    @property
    def _tap_rows(self) -> int:
        """Weight rows of one tap."""
        return self.folds if self.depthwise else self.channels * self.folds

    def _front(self, m: Module, free: Value) -> Slot:
        """Address to pixel and channel, to row and column, to where its walk begins; the walk."""
        finish, active = Signal(name="finish"), Signal(name="active")
        last_moves = Signal(name="walk_takes")
        m.d.comb += last_moves.eq(~active | finish)
        data = self.i.payload.data
        chain = _Chain(m, [("pixel", self.i.valid), ("place", None)], last_moves)
        m.d.comb += self.i.ready.eq(chain.takes[0])
        count = count_of(self)
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
        word = Signal(range(max(2, self.store.words)), name="first_word")
        row = Signal(range(max(2, len(self._rows))), name="first_row")
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
