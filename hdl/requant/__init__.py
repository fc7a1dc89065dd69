"""A step function per channel, integer to integer code, as one stream component.

The realisations are exact; which one is cheapest is for the caller to choose.
"""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib.wiring import In, Out

from codesign.hdl.memories import Counter, Table, pack, rom, style_for
from codesign.hdl.requant.base import Lane, Ranges, Realisation
from codesign.hdl.requant.dyadic import Dyadic
from codesign.hdl.requant.lookup import Rom
from codesign.hdl.requant.shift_round import ShiftRound
from codesign.hdl.requant.thresholds import Thresholds
from codesign.hdl.stream import Component, beats_for, range_shape, stream_signature
from codesign.hdl.timing import Pipe

__all__ = ["Dyadic", "Ranges", "Realisation", "Requant", "Rom", "ShiftRound", "Thresholds"]


class Requant(Component):
    """Applies ``realisation`` to each element.

    ``i``: beats of ``lanes`` integers in ``in_lo..in_hi``; ``o``: beats of ``lanes`` codes in
    ``out_lo..out_hi``. Groups of ``channels`` elements start at a beat of their own; an element's
    channel is its place in the group. ``groups`` of them make a frame (``last``). One beat a
    cycle, ``latency`` 1 or 2.
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
        if not 1 <= lanes <= channels:
            raise ValueError(f"lanes must lie in 1..{channels} (the channels), got {lanes}")
        if realisation.channels not in (1, channels):
            raise ValueError(f"parameters for {realisation.channels} channels, not {channels}")
        self._real, self._channels, self._lanes = realisation, channels, lanes
        self._groups, self._folds = groups, beats_for(channels, lanes)
        self._ranges = Ranges(int(in_lo), int(in_hi), int(out_lo), int(out_hi))
        super().__init__(
            {
                "i": In(stream_signature(range_shape(in_lo, in_hi), lanes)),
                "o": Out(stream_signature(range_shape(out_lo, out_hi), lanes)),
            }
        )

    @property
    def latency(self) -> int:
        """Registers from input to output: 1, or 2 where one stage would be too slow."""
        return self._real.stages(self._ranges)

    def timing(self) -> Pipe:
        """The event model of this component."""
        return Pipe(self.latency)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ce, take = Signal(), Signal()
        m.d.comb += [ce.eq(~self.o.valid | self.o.ready), take.eq(self.i.valid & self.i.ready)]
        beat = Counter(m, "fold", self._folds, take)
        group = Counter(m, "group", self._groups, take & beat.last)
        ready: Value = Const(1, 1)
        if isinstance(self._real, Rom):
            self._lookup(m, ce, beat)
        else:
            ready = self._datapath(m, ce, beat)
        m.d.comb += self.i.ready.eq(ce & ready)
        self._control(m, ce, take, beat.last & group.last)
        return m

    def _control(self, m: Module, ce: Value, take: Value, last: Value) -> None:
        valid, final = take, last
        if self.latency == 2:
            valid, final = Signal(name="valid_1"), Signal(name="last_1")
            with m.If(ce):
                m.d.sync += [valid.eq(take), final.eq(last)]
        with m.If(ce):
            m.d.sync += [self.o.valid.eq(valid), self.o.payload.last.eq(final)]

    def _datapath(self, m: Module, ce: Value, beat: Counter) -> Value:
        """All lanes; returns whether their parameters are ready."""
        two = self.latency == 2
        parameters, ready = self._parameters(m, beat)
        for j in range(self._lanes):
            part = Module()
            m.submodules[f"lane{j}"] = part

            def register(value: Value, part: Module = part) -> Value:
                if not two or isinstance(value, Const):
                    return value
                held = Signal(value.shape(), name="held", reset_less=True)
                with part.If(ce):
                    part.d.sync += held.eq(value)
                return held

            at = Lane(part, self._ranges, register)
            code = self._real.lane(at, self.i.payload.data[j], parameters[j])
            with m.If(ce):
                m.d.sync += self.o.payload.data[j].eq(code)
        return ready

    def _channel(self, fold: int, lane: int) -> int:
        """Channel of a lane in a beat; padding copies the lane's channel in beat 0."""
        channel = fold * self._lanes + lane
        return channel if channel < self._channels else lane

    def _parameters(self, m: Module, beat: Counter) -> tuple[list[dict[str, Value]], Value]:
        """Each lane's parameters: constants, or slices of one table indexed by the beat."""
        values = {
            name: np.broadcast_to(v, self._channels)
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
        """One memory per lane whose read register is the output."""
        real, ranges = self._real, self._ranges
        assert isinstance(real, Rom)
        for j in range(self._lanes):
            folds = [self._channel(f, j) for f in range(self._folds)]
            folds = folds if real.channels > 1 else folds[:1]
            words = [w for channel in folds for w in real.words(ranges, channel)]
            style = style_for(len(words), ranges.out_bits)
            address, data = rom(m, f"table{j}", words, ranges.out_bits, style, ce)
            x = self.i.payload.data[j].as_unsigned()
            m.d.comb += address.eq(Cat(x, beat.value) if len(folds) > 1 else x)
            m.d.comb += self.o.payload.data[j].eq(data)
