"""Neurons of one layer over time, as one stream component."""

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.memories import Counter, pack, rom, style_for
from codesign.hdl.neurons.alpha import AlphaCell
from codesign.hdl.neurons.cell import Cell, Site, Sketch, parameter_at
from codesign.hdl.neurons.egru import EgruCell
from codesign.hdl.neurons.lif import LifCell
from codesign.hdl.neurons.memory import StateStyle, state_memory, state_register
from codesign.hdl.neurons.number import Num
from codesign.hdl.neurons.snu import SnuCell
from codesign.hdl.neurons.timing import NeuronTiming
from codesign.hdl.pipeline import STAGE_NS
from codesign.hdl.requant import parameter_folds
from codesign.hdl.stream import Component, beat, range_shape, stream_signature
from codesign.neurons import Alpha, Egru, Lif, Neuron, Snu

#: Longest path (nanoseconds, model of hdl/pipeline.py) where a shorter state loop lets steps
#: follow each other faster. 100 MHz leaves 10; a registered 16-bit adder, 4.0 by the model, is
#: measured at 3.1 (319 MHz), so the model itself keeps a reserve.
LOOP_NS = 9.8


def cell_of(model: Neuron) -> Cell:
    """The hardware of a neuron model."""
    if isinstance(model, Lif):
        return LifCell(model)
    if isinstance(model, Snu):
        return SnuCell(model)
    if isinstance(model, Egru):
        return EgruCell(model)
    if isinstance(model, Alpha):
        return AlphaCell(model)
    raise ValueError(f"no hardware for neurons of type {type(model).__name__}")


class NeuronArray(Component):
    """``elements`` neurons of ``model`` over ``steps`` steps.

    ``i`` (``i0``, ``i1``, ... for a model of several inputs, taken together): a frame is
    ``steps * elements`` codes in ``lo..hi``, that input's entry of ``ranges``, step after step,
    ``lanes`` a beat. ``o``: the outputs in the same order. Element e is of
    channel ``e % model.channels``. ``lanes`` divides ``elements``: as many are one core per
    neuron, fewer share cores over a memory of states.

    States begin anew with each frame, or only after reset if ``persistent``. For each state there
    is a stream ``state_NAME`` that shows its new words in the order of elements, each for one
    cycle and never after the output of the same step.

    A step takes ``max(beats, loop)`` cycles: a beat waits until the states it needs are written.

    ``tells``: ``told`` shows the new membrane ``v`` of each beat together with its spikes, for one
    cycle, ``latency - 1`` enabled cycles after the beat was taken.
    """

    def __init__(
        self,
        model: Neuron,
        *,
        elements: int,
        steps: int,
        lanes: int,
        persistent: bool,
        ranges: Sequence[tuple[int, int]],
        tells: bool = False,
    ) -> None:
        if elements < 1 or steps < 1:
            raise ValueError(f"needs an element and a step or more, got {elements} and {steps}")
        if lanes < 1 or elements % lanes:
            raise ValueError(f"{lanes} lanes do not divide {elements} elements")
        if elements % model.channels:
            raise ValueError(f"{model.channels} channels do not divide {elements} elements")
        self.model, self.elements, self.steps, self.lanes = model, elements, steps, lanes
        self.persistent, self.beats = persistent, elements // lanes
        self.folds = parameter_folds(elements, model.channels, lanes)
        self.ranges = _checked(model, ranges)
        self.styles = {s.name: StateStyle(self.beats, lanes * s.word.bits) for s in model.states}
        self.sketch = self._plan()
        self.inputs = {
            name: "i" if len(model.inputs) == 1 else f"i{n}" for n, name in enumerate(model.inputs)
        }
        out = range_shape(*model.span)
        ports = {
            port: In(stream_signature(range_shape(*self.ranges[name]), lanes))
            for name, port in self.inputs.items()
        }
        for s in model.states:
            shape = range_shape(s.word.lo, s.word.hi)
            probe = stream.Signature(beat(shape, lanes), always_ready=True)
            ports[f"state_{s.name}"] = Out(probe)
        self.tells = tells
        if tells:
            word = next(s.word for s in model.states if s.name == "v")
            told = {"valid": 1, "v": word.bits * lanes, "spikes": out.width * lanes}
            ports["told"] = Out(wiring.Signature({n: Out(bits) for n, bits in told.items()}))
        super().__init__({**ports, "o": Out(stream_signature(out, lanes))})

    def _plan(self) -> Sketch:
        """The cell's stages: relaxed, unless steps would wait for its loop."""
        found = None
        for budget in (STAGE_NS, LOOP_NS):
            read_ns = {name: style.ns for name, style in self.styles.items()}
            sketch = Sketch(self.model, self.ranges, budget, read_ns)
            cell_of(self.model).build(sketch)
            if found is None or self._loop_of(sketch) < self._loop_of(found):
                found, self.budget = sketch, budget
            if self._loop_of(found) <= self.beats:
                break
        assert found is not None
        return found

    def _loop_of(self, sketch: Sketch) -> int:
        return max(n + self.styles[name].ahead for name, n in sketch.loop.items())

    @property
    def loop(self) -> int:
        """Enabled cycles after which a neuron can take its next step."""
        return self._loop_of(self.sketch)

    @property
    def latency(self) -> int:
        """Registers from input to output."""
        return self.sketch.stages

    @property
    def cycles(self) -> int:
        """Cycles a frame takes while nobody waits."""
        return self.steps * max(self.beats, self.loop)

    @property
    def table_bits(self) -> list[int]:
        """Widths of the tables that the parameters which differ are read from."""
        return [self.lanes * bits for bits in self.sketch.fetched.values()]

    def timing(self) -> NeuronTiming:
        """The event model of this component."""
        return NeuronTiming(tuple(self.inputs.values()), self.beats, self.loop, self.latency)

    def elaborate(self, platform: object) -> Module:
        return _Builder(self).build()


class _Builder:
    """One elaboration of a :class:`NeuronArray`."""

    def __init__(self, array: NeuronArray) -> None:
        self.array, self.model = array, array.model
        self.m = Module()
        self.ce, self.take = Signal(name="ce"), Signal(name="take")
        self.folds = array.folds
        self._tables: dict[tuple[str, int], list[Value]] = {}
        self._delays: dict[tuple[str, int], Value] = {}
        self._data: dict[str, Signal] = {}  # new words of all lanes

    def build(self) -> Module:
        m, array = self.m, self.array
        self._control()
        words = {s.name: self._word(s.name) for s in self.model.states}
        lanes = [_Lane(self, j, words) for j in range(array.lanes)]
        for j, lane in enumerate(lanes):
            m.submodules[f"lane{j}"] = lane.m
            cell_of(self.model).build(lane)
        self._states(lanes)
        if array.tells:
            self._tell(lanes)
        o = array.o
        with m.If(self.ce):
            m.d.sync += [
                o.valid.eq(self.along("valid", array.latency - 1)),
                o.payload.last.eq(self.along("last", array.latency - 1)),
            ]
            m.d.sync += [o.payload.data[j].eq(lane.out.value) for j, lane in enumerate(lanes)]
        return m

    def _control(self) -> None:
        """Takes beats and counts them; what goes along with a beat through the stages."""
        m, array = self.m, self.array
        ports = [getattr(array, port) for port in array.inputs.values()]
        m.d.comb += self.ce.eq(~array.o.valid | array.o.ready)
        go = self.ce
        flying = array.loop - 1
        if flying >= array.beats:
            go = Signal(name="go")
            marks = [self.along("valid", stage) for stage in range(1, flying + 1)]
            m.d.comb += go.eq(self.ce & (sum(marks) < array.beats))
        everything = Cat(port.valid for port in ports).all()
        m.d.comb += self.take.eq(everything & go)
        for port in ports:
            others = [p.valid for p in ports if p is not port]
            m.d.comb += port.ready.eq(Cat(*others).all() & go if others else go)
        fold = Counter(m, "fold", self.folds, self.take)
        group = Counter(m, "group", array.beats // self.folds, self.take & fold.last)
        ends = fold.last & group.last
        step = Counter(m, "step", array.steps, self.take & ends)
        self._starts = {
            "valid": self.take,
            "fold": fold.value,
            "last": ends & step.last,
            "fresh": step.value == 0,
        }
        if array.persistent:
            started = Signal(name="started")
            with m.If(self.take & ends):
                m.d.sync += started.eq(1)
            self._starts["fresh"] = ~started
        self._starts["beat"] = fold.value
        if array.beats > self.folds:
            self._starts["beat"] = Counter(m, "beat", array.beats, self.take).value

    def along(self, name: str, stage: int) -> Value:
        """What belongs to the beat that is in ``stage``."""
        key = (name, stage)
        if key not in self._delays:
            if name == "valid":
                held = Signal(name=f"valid{stage}")
            else:
                start = self._starts[name] if stage == 0 else self.along(name, stage - 1)
                if stage == 0:
                    self._delays[key] = start
                    return start
                held = Signal(len(start), name=f"{name}{stage}", reset_less=True)
            self._delays[key] = held
            before = self.take if (name, stage) == ("valid", 1) else self.along(name, stage - 1)
            with self.m.If(self.ce):
                self.m.d.sync += held.eq(before)
        return self._delays[key]

    def _word(self, name: str) -> Value:
        """All lanes of a state as read, or as it begins."""
        m, array = self.m, self.array
        state = next(s for s in self.model.states if s.name == name)
        stage, style = array.sketch.reads[name], array.styles[name]
        written = array.sketch.next[name].stage
        data = self._data[name] = Signal(style.width, name=f"{name}_new")
        enable = Signal(name=f"{name}_write")
        m.d.comb += enable.eq(self.ce & self.along("valid", written))
        if style.kind == "register":
            begin = [int(state.initial[c % len(state.initial)]) for c in self._channels(0)]
            last = Const(0, 1) if array.persistent else self.along("last", written)
            packed = pack([(code, state.word.bits) for code in begin])
            return state_register(m, name, packed, enable=enable, last=last, data=data)
        stored = state_memory(
            m, name, style,
            read=self.along("beat", stage - style.ahead),
            write=self.along("beat", written),
            enable=enable, ce=self.ce, data=data,
        )  # fmt: skip
        shape = range_shape(state.word.lo, state.word.hi)
        initial = self.table(f"initial_{name}", state.initial, shape.width, stage)
        word = Signal(style.width, name=name)
        m.d.comb += word.eq(Mux(self.along("fresh", stage), Cat(*initial), stored))
        return word

    def table(self, name: str, vector: np.ndarray, width: int, stage: int) -> list[Value]:
        """For each lane its neuron's entry of ``vector``, ``width`` bits, in ``stage``."""
        key = (name, stage)
        if key not in self._tables:
            rows = [
                pack([(int(vector[c % len(vector)]), width) for c in self._channels(fold)])
                for fold in range(self.folds)
            ]
            wide = width * self.array.lanes
            style = style_for(self.folds, wide)
            address, data = rom(self.m, f"{name}_{stage}", rows, wide, style, self.ce)
            self.m.d.comb += address.eq(self.along("fold", stage - 1))
            word = Value.cast(data)
            lanes = range(self.array.lanes)
            self._tables[key] = [word[j * width : (j + 1) * width] for j in lanes]
        return self._tables[key]

    def _channels(self, fold: int) -> list[int]:
        lanes = self.array.lanes
        return [(fold * lanes + j) % self.model.channels for j in range(lanes)]

    def lane_channels(self, lane: int) -> list[int]:
        """Channels that pass through a lane."""
        return [self._channels(fold)[lane] for fold in range(self.folds)]

    def _states(self, lanes: "list[_Lane]") -> None:
        m, array = self.m, self.array
        for state in self.model.states:
            bits, stage = state.word.bits, array.sketch.next[state.name].stage
            probe = getattr(array, f"state_{state.name}")
            for j, lane in enumerate(lanes):
                new = lane.next[state.name]
                assert new.stage == stage
                code = self._data[state.name][j * bits : (j + 1) * bits]
                m.d.comb += [code.eq(new.value), probe.payload.data[j].eq(new.value)]
            m.d.comb += [
                probe.valid.eq(self.ce & self.along("valid", stage)),
                probe.payload.last.eq(self.along("last", stage)),
            ]

    def _tell(self, lanes: "list[_Lane]") -> None:
        told, stage = self.array.told, self.array.latency - 1
        word = next(s.word for s in self.model.states if s.name == "v")
        shape, membranes = range_shape(word.lo, word.hi), []
        for j, lane in enumerate(lanes):
            code = Signal(shape, name=f"told_v{j}")
            self.m.d.comb += code.eq(lane.at(lane.next["v"], stage).value)
            membranes.append(code)
        out = range_shape(*self.model.span).width
        self.m.d.comb += [
            told.valid.eq(self.ce & self.along("valid", stage)),
            told.v.eq(Cat(*membranes)),
            told.spikes.eq(Cat(*(Value.cast(lane.out.value)[:out] for lane in lanes))),
        ]


class _Lane(Site):
    """The cell of one lane."""

    def __init__(self, builder: _Builder, lane: int, words: dict[str, Value]) -> None:
        array = builder.array
        super().__init__(array.model, array.ranges, Module(), builder.ce, array.budget)
        self._builder, self._lane, self._states = builder, lane, words

    def of_lane(self, name: str) -> np.ndarray:
        # All lanes are built alike, whatever parameters they hold: one plan, one latency.
        return self.vectors[name]

    def input_value(self, name: str) -> Value:
        array = self._builder.array
        return getattr(array, array.inputs[name]).payload.data[self._lane]

    def state_value(self, name: str, stage: int) -> tuple[Value, float]:
        word = self._words[name]
        bits = self._states[name][self._lane * word.bits : (self._lane + 1) * word.bits]
        return (bits.as_signed() if word.signed else bits), self._builder.array.styles[name].ns

    def fetch(self, parameter: Num, stage: int) -> Num:
        shape = range_shape(parameter.lo, parameter.hi)
        name = parameter.parameter
        lanes = self._builder.table(name, self.vectors[name], shape.width, stage)
        value = lanes[self._lane]
        return parameter_at(parameter, value.as_signed() if shape.signed else value, stage)


def _checked(model: Neuron, ranges: Sequence[tuple[int, int]]) -> dict[str, tuple[int, int]]:
    if len(ranges) != len(model.inputs):
        raise ValueError(
            f"ranges for {len(model.inputs)} inputs ({', '.join(model.inputs)}), got {len(ranges)}"
        )
    for name, (lo, hi) in zip(model.inputs, ranges, strict=True):
        if lo > hi:
            raise ValueError(f"input '{name}' has the empty range {lo}..{hi}")
    return {n: (int(lo), int(hi)) for n, (lo, hi) in zip(model.inputs, ranges, strict=True)}
