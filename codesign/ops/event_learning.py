"""EventLearning: a dense layer of spiking neurons whose weights change while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from codesign import learning
from codesign.errors import UnsupportedModel
from codesign.formats import Format, ScaledInt
from codesign.ir import Op, Value, record, register
from codesign.ir.plan import Dense, Events, Form, Plan
from codesign.learning.header import check_target, header_bits, header_rows, split, with_header
from codesign.learning.taught import Taught, TaughtRun
from codesign.ops.area import block_rams
from codesign.ops.circuit import CircuitOp, divisors
from codesign.ops.event_op import MOST_FRAMES, WIDEST_SCAN, evenly_spread, events_of
from codesign.ops.expected import Expected
from codesign.ops.first_spike import SPIKES
from codesign.ops.neuron import word_format
from codesign.schema import Cost
from codesign.spikes.arrivals import Arrivals

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

for _part in (learning.LearningLayer, learning.Tess, learning.Psi, learning.Rival):
    record(f"learning.{_part.__name__}")(_part)


@register("event_learning")
@dataclass(frozen=True, eq=False)
class EventLearning(CircuitOp):
    """``layer`` with the learning signal ``rival``, from its first ``weights``, int64 [inputs, N].

    Reads spikes (rows + steps, inputs): a header in the first rows
    (:mod:`codesign.learning.header`: whether the frame learns, and its target), then the steps;
    all as address events in a plan of ``simd`` 0.
    Gives spikes (steps, N), with a header of their own where ``passes`` (a learning layer follows).
    Weights go on from frame to frame. ``expected``: the spikes it is planned for.
    """

    layer: learning.LearningLayer
    rival: learning.Rival
    weights: np.ndarray
    steps: int
    passes: bool
    expected: Expected

    data_dependent: ClassVar[bool] = True
    takes_events: ClassVar[bool] = True

    @property
    def carries(self) -> bool:
        return True

    @property
    def rows(self) -> int:
        """Header rows of its input."""
        return header_rows(self.rival.classes, self.layer.inputs)

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        wanted = (self.rows + self.steps, self.layer.inputs)
        if x.shape != wanted or x.format != SPIKES:
            raise UnsupportedModel(
                f"a learning layer reads spikes {wanted}, a header of {self.rows} rows among them, "
                f"got {x.shape} {x.format.label()}"
            )
        outputs = self.layer.outputs
        more = header_rows(self.rival.classes, outputs) if self.passes else 0
        return (more + self.steps, outputs), SPIKES

    def run(self, x: np.ndarray, lanes: int = 0, weights: np.ndarray | None = None) -> TaughtRun:
        """All that frames ``x`` int64 [n, rows + steps, inputs] do, from ``weights`` or those it
        begins with, ``lanes`` outputs at a time (which decides the order of the log).
        ``ValueError`` for a header without a class."""
        spikes, learn, target = split(x.reshape(-1, *self.in_shape), self.rival.classes)
        check_target(target, self.rival.classes)
        taught = Taught(self.layer, self.rival, lanes or self.layer.outputs)
        first = self.weights if weights is None else weights
        return taught.run(first, spikes, learn, target)

    @property
    def in_shape(self) -> tuple[int, int]:
        """Of its input, header included."""
        return self.rows + self.steps, self.layer.inputs

    def given(self, x: np.ndarray, spikes: np.ndarray) -> np.ndarray:
        """What leaves it for inputs ``x`` that make ``spikes`` int64 [n, steps, N]."""
        if not self.passes:
            return spikes
        _, learn, target = split(x.reshape(-1, *self.in_shape), self.rival.classes)
        return with_header(spikes, learn, target, self.rival.classes)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        (x,) = arrays
        return self.given(x, self.run(x).spikes)

    def macs(self) -> int:
        return self.steps * self.layer.inputs * self.layer.outputs

    def lanes_in(self, plan: Plan) -> int:
        return plan.simd

    def form_in(self, plan: Plan, port: int = 0) -> Form:
        return Dense(plan.simd) if plan.simd else Events(1)

    def arrivals(self, x: Value, codes: Any, frames: int) -> Arrivals:
        if codes is None:
            codes = self._usual()
        found = codes.codes if isinstance(codes, Work) else np.asarray(codes)
        return Arrivals.of(found.reshape(-1, *self.in_shape)[:frames])

    def stream_plans(self, ins: list[Value]) -> list[Plan]:
        """The fewest lanes first; scanning takes at most an eighth of the events' work."""
        outputs, inputs = self.layer.outputs, self.layer.inputs
        plans = []
        for lanes in divisors(outputs):
            work = max(1, self.expected.mean) * (outputs // lanes)
            wide = [d for d in divisors(inputs) if d <= WIDEST_SCAN]
            simd = next((d for d in wide if 8 * (inputs // d) <= work), wide[-1])
            reason = f"{lanes} synapses a cycle, {self.expected.describe()}"
            plans.append(Plan("event", pe=lanes, simd=simd, reason=reason))
        return plans

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        """Of a frame that learns, at the expected number of spikes, half as many traces more."""
        out, format = self.infer(*ins)
        core = self.rtl(ins, Value("o", out, format), plan).core
        more = self.expected.rounded // 2
        head = self.rows + header_bits(self.rival.classes)
        if plan.simd:
            head = self.rows * self.layer.inputs // plan.simd
        steps = (
            core.step_cycles(spikes, min(self.layer.inputs, spikes + more), True)
            for spikes in self.expected.spikes
        )
        return int(head + sum(steps))

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.learning.taught import TaughtDense

        return TaughtDense(
            self.layer,
            self.rival,
            self.weights,
            steps=self.steps,
            lanes=plan.pe,
            simd=plan.simd,
            passes=self.passes,
            weight_memory=plan.memory,
        )

    def timing(self, ins: list[Value], out: Value, plan: Plan) -> Any:
        return self.timing_of(ins, plan, self._usual())

    def timing_of(self, ins: list[Value], plan: Plan, codes: np.ndarray) -> Any:
        """``codes``: frames, whose steps are then taken to change weights always, or what
        :meth:`work` says of them."""
        part = self.rtl(ins, Value("o", *self.infer(*ins)), plan)
        return part.timing(codes if isinstance(codes, Work) else self._busy(codes, plan))

    def work(self, x: np.ndarray, run: TaughtRun, simd: int) -> Work:
        """What frames ``x`` give to do, of which ``run`` is the run."""
        shape = (len(run.spikes), self.steps)
        active = np.array(run.log.active).reshape(shape)
        return self._work(x, active, np.array(run.log.changes).reshape(shape), simd)

    def _busy(self, x: np.ndarray, plan: Plan) -> Work:
        """As :meth:`work` without the weights: every step of a frame that learns changes some."""
        x = np.asarray(x).reshape(-1, *self.in_shape)
        spikes, learn, _ = split(x, self.rival.classes)
        active = np.zeros(spikes.shape[:2], np.int64)
        rule, trace = self.layer.rule, np.zeros(spikes[:, 0].shape, np.int64)
        for t in range(self.steps):
            active[:, t] = ((trace > 0) | (spikes[:, t] > 0)).sum(axis=1)
            trace = rule.decay(trace, spikes[:, t])
        return self._work(x, active, np.broadcast_to(learn[:, None], active.shape), plan.simd)

    def _work(self, x: np.ndarray, active: np.ndarray, changes: np.ndarray, simd: int) -> Work:
        from codesign.hdl.learning.timing import FrameWork, StepWork

        x = x.reshape(-1, *self.in_shape)
        spikes, learn, _ = split(x, self.rival.classes)
        header = np.count_nonzero(x[:, : self.rows], axis=(1, 2))
        beats = spikes.reshape(*active.shape, -1, simd or self.layer.inputs)
        scanned = np.count_nonzero(beats, axis=3)
        frames = [
            FrameWork(
                bool(learn[n]),
                tuple(
                    StepWork(tuple(scanned[n, t].tolist()), int(active[n, t]), bool(changes[n, t]))
                    for t in range(self.steps)
                ),
                int(header[n]),
            )
            for n in range(len(x))
        ]
        return Work(frames, x)

    def _usual(self) -> np.ndarray:
        """Frames that learn, with the expected number of spikes, evenly spread."""
        spikes = np.tile(evenly_spread(self.expected, self.layer.inputs), (MOST_FRAMES, 1, 1))
        learn = np.ones(MOST_FRAMES, np.int64)
        return with_header(spikes, learn, 0 * learn, self.rival.classes)

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        from codesign.hdl.neurons.area import area_of

        part, rule, lanes = self.rtl(ins, out, plan), self.layer.rule, plan.pe
        cells = area_of(part.core.neurons)
        groups, inputs = self.layer.outputs // lanes, self.layer.inputs
        blocks = block_rams(inputs * groups, lanes * rule.weight.bits)
        products = 2 if rule.post_shift is None else 3
        sums = lanes * (part.core.synapses.hi - part.core.synapses.lo).bit_length()
        classes = self.rival.classes
        # Set so that 64-10 with 2 lanes is what yosys makes of it; the sole design measured.
        lut = 2 * sums + 4 * plan.simd + 420 + 180 * lanes + 45 * classes + 2 * classes * lanes
        ff = 2 * sums + 400 + 240 * lanes + 31 * classes
        return Cost(
            lut=lut + cells.lut,
            ff=ff + cells.ff,
            dsp=products * lanes + cells.dsp,
            bram=blocks + cells.bram,
        )

    def realisation(self, plan: Plan) -> str:
        bits = self.layer.rule.weight.bits
        return f"{events_of(plan)}, {plan.pe} synapses a cycle, learns {bits} bit"


class Work(Sequence[Any]):
    """The work of frames (:class:`codesign.hdl.learning.timing.FrameWork`), which can be cut.
    ``codes``: these frames, int64 [n, rows + steps, inputs]."""

    def __init__(self, frames: Sequence[Any], codes: np.ndarray) -> None:
        self._frames, self.codes = tuple(frames), codes

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, at: Any) -> Any:
        return Work(self._frames[at], self.codes[at]) if isinstance(at, slice) else self._frames[at]


@dataclass(frozen=True, eq=False)
class LearningState(Op):
    """What ``state`` of a learning layer's neurons is after every step; only looked at."""

    kind: ClassVar[str] = "learning_state"

    of: EventLearning
    state: str

    @property
    def carries(self) -> bool:
        return True

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        self.of.infer(*ins)
        word = next(s.word for s in self.of.layer.neuron.states if s.name == self.state)
        found: ScaledInt = word_format(word, word.lo, word.hi)
        return (self.of.steps, self.of.layer.outputs), found

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        (x,) = arrays
        return self.of.run(x).states[self.state]
