"""A step function per channel, integer to integer code, as one stream component.

The realisations are exact; which one is cheapest is for the caller to choose.
"""

from math import gcd

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib.wiring import In, Out

from codesign.hdl.memories import Counter, Table, pack, rom, style_for
from codesign.hdl.requant.base import Lane, Ranges, Realisation, delayed
from codesign.hdl.requant.dyadic import Dyadic
from codesign.hdl.requant.levels import Levels
from codesign.hdl.requant.lookup import Rom
from codesign.hdl.requant.search import Search, search
from codesign.hdl.requant.shift_round import ShiftRound
from codesign.hdl.requant.thresholds import Thresholds, signed_count
from codesign.hdl.stream import Component, beats_for, range_shape, stream_signature
from codesign.hdl.timing import Pipe

__all__ = [
    "Dyadic",
    "Levels",
    "Ranges",
    "Realisation",
    "Requant",
    "Rom",
    "Search",
    "ShiftRound",
    "Thresholds",
    "parameter_folds",
]


class Requant(Component):
    """Applies ``realisation`` to each element.

    ``i``: beats of ``lanes`` integers in ``in_lo..in_hi``; ``o``: beats of ``lanes`` codes in
    ``out_lo..out_hi``. A frame holds ``groups`` times ``channels`` elements, one after the other;
    an element's channel is its place modulo ``channels``. ``last`` marks the frame's final beat.
    One beat a cycle.
    """

    def __init__(
        self,
        realisation: Realisation,
        *,
        in_lo: int,
        in_hi: int,
        out_lo: int,
        out_hi: int,
        channels: int,
        lanes: int,
        groups: int = 1,
    ) -> None:
        if not 1 <= lanes <= channels * groups:
            raise ValueError(f"lanes must lie in 1..{channels * groups}, got {lanes}")
        if realisation.channels not in (1, channels):
            raise ValueError(f"parameters for {realisation.channels} channels, not {channels}")
        self._real, self._lanes = realisation, lanes
        self._elements, self._period = channels * groups, realisation.channels
        self._beats = beats_for(self._elements, lanes)
        self._folds = parameter_folds(self._elements, self._period, lanes)
        core = realisation.index if isinstance(realisation, Levels) else realisation
        if isinstance(core, Search) and core.channels > 1 and core.folds != self._folds:
            raise ValueError(f"a search of {core.folds} folds where there are {self._folds}")
        self._ranges = Ranges(int(in_lo), int(in_hi), int(out_lo), int(out_hi))
        super().__init__(
            {
                "i": In(stream_signature(range_shape(in_lo, in_hi), lanes)),
                "o": Out(stream_signature(range_shape(out_lo, out_hi), lanes)),
            }
        )

    @property
    def latency(self) -> int:
        """Registers from input to output: 1, 2 where one stage would be too slow; a search and a
        table behind it take more."""
        return self._real.stages(self._ranges)

    def timing(self) -> Pipe:
        """The event model of this component."""
        return Pipe(self.latency)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, take = Signal(), Signal()
        m.d.comb += [ce.eq(~self.o.valid | self.o.ready), take.eq(self.i.valid & self.i.ready)]
        beat = Counter(m, "fold", self._folds, take)
        group = Counter(m, "group", self._beats // self._folds, take & beat.last)
        ready: Value = Const(1, 1)
        if isinstance(self._real, Rom):
            self._lookup(m, ce, beat)
        else:
            ready = self._datapath(m, ce, beat)
        m.d.comb += self.i.ready.eq(ce & ready)
        valid = delayed(m, ce, take, self.latency - 1, "valid")
        last = delayed(m, ce, beat.last & group.last, self.latency - 1, "last")
        with m.If(ce):
            m.d.sync += [self.o.valid.eq(valid), self.o.payload.last.eq(last)]
        return m

    def _datapath(self, m: Module, ce: Value, beat: Counter) -> Value:
        """All lanes; returns whether their parameters are ready."""
        real, ranges = self._real, self._ranges
        inner = real.inner(ranges) if isinstance(real, Levels) else ranges
        core = real.index if isinstance(real, Levels) else real
        stages = self.latency - int(isinstance(real, Levels))
        parameters, ready = self._parameters(m, beat)
        for j in range(self._lanes):
            part = Module()
            m.submodules[f"lane{j}"] = part

            def register(value: Value, part: Module = part) -> Value:
                if stages == 1 or isinstance(value, Const):
                    return value
                held = Signal(value.shape(), name="held", reset_less=True)
                with part.If(ce):
                    part.d.sync += held.eq(value)
                return held

            x = self.i.payload.data[j]
            if isinstance(core, Search):
                code = self._searched(m, ce, core, inner, j, x, beat, parameters[j])
            else:
                code = core.lane(Lane(part, inner, register), x, parameters[j])
            if isinstance(real, Levels):
                step = Signal(inner.out_bits, name=f"step{j}", reset_less=True)
                with m.If(ce):
                    m.d.sync += step.eq(code)
                fold = delayed(m, ce, beat.value, stages, f"fold{j}")
                self._tables(m, ce, j, step, fold)
                continue
            with m.If(ce):
                m.d.sync += self.o.payload.data[j].eq(code)
        return ready

    def _searched(
        self,
        m: Module,
        ce: Value,
        core: Search,
        ranges: Ranges,
        j: int,
        x: Value,
        beat: Counter,
        parameters: dict[str, Value],
    ) -> Value:
        """The code that lane ``j`` finds by binary search, before its last register."""
        channels = [self._channel(f, j) for f in range(self._folds)]
        count = search(m, ce, core, ranges, j, x, beat.value, channels)
        later = core.stages(ranges) - 1
        start = delayed(m, ce, parameters["start"], later, f"start{j}")
        down = delayed(m, ce, parameters["down"], later, f"down{j}")
        code = Signal(range_shape(ranges.out_lo, ranges.out_hi), name=f"code{j}")
        m.d.comb += code.eq(signed_count(count, down) + start)
        return code

    def _channel(self, fold: int, lane: int) -> int:
        """Channel of a lane in a beat; padding copies the lane's channel in beat 0."""
        element = fold * self._lanes + lane
        return (element if element < self._elements else lane) % self._period

    def _parameters(self, m: Module, beat: Counter) -> tuple[list[dict[str, Value]], Value]:
        """Each lane's parameters: constants, or slices of one table indexed by the beat."""
        values = {
            name: np.broadcast_to(v, self._period)
            for name, v in self._real.fields(self._ranges).items()
        }
        found: list[dict[str, Value]] = [{} for _ in range(self._lanes)]
        varied: list[tuple[int, str, list[int]]] = []
        for j in range(self._lanes):
            for name, column in values.items():
                row = [int(column[self._channel(f, j)]) for f in range(self._folds)]
                if len(set(row)) == 1:
                    found[j][name] = Const(row[0], range_shape(min(row[0], 0), max(row[0], 0)))
                else:
                    varied.append((j, name, row))
        if not varied:
            return found, Const(1, 1)
        shapes = [range_shape(min(row), max(row)) for _, _, row in varied]
        words = [
            pack([(row[f], s.width) for (_, _, row), s in zip(varied, shapes, strict=True)])
            for f in range(self._folds)
        ]
        table = Table(m, "parameters", words, sum(s.width for s in shapes), beat)
        at = 0
        for (j, name, _), shape in zip(varied, shapes, strict=True):
            bits = Value.cast(table.data)[at : at + shape.width]
            found[j][name] = bits.as_signed() if shape.signed else bits
            at += shape.width
        return found, table.ready

    def _lookup(self, m: Module, ce: Value, beat: Counter) -> None:
        for j in range(self._lanes):
            self._tables(m, ce, j, self.i.payload.data[j].as_unsigned(), beat.value)

    def _tables(self, m: Module, ce: Value, j: int, x: Value, fold: Value) -> None:
        """Lane ``j``'s memory of codes, whose read register is the output; ``fold`` goes with
        ``x``."""
        real, ranges = self._real, self._ranges
        assert isinstance(real, Rom | Levels)
        words = [real.words(ranges, self._channel(f, j)) for f in range(self._folds)]
        if all(row == words[0] for row in words):
            words = words[:1]
        flat = [word for row in words for word in row]
        style = style_for(len(flat), ranges.out_bits)
        address, data = rom(m, f"table{j}", flat, ranges.out_bits, style, ce)
        m.d.comb += address.eq(Cat(x, fold) if len(words) > 1 else x)
        m.d.comb += self.o.payload.data[j].eq(data)


def parameter_folds(elements: int, period: int, lanes: int) -> int:
    """Beats after which the parameters of each lane repeat; a divisor of the frame's beats."""
    beats = beats_for(elements, lanes)
    folds = period // gcd(period, lanes)
    return folds if beats % folds == 0 else beats
