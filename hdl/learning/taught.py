"""A dense layer that learns, as one stream component: spikes or events in, dense spikes out."""

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Module, Signal, Value, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.events import Process, Stage, link
from codesign.hdl.fork import Fork
from codesign.hdl.learning.header import EventStrip, HeaderInsert, HeaderStrip, StripTiming
from codesign.hdl.learning.layer import LearningDense
from codesign.hdl.learning.network import FrameGate
from codesign.hdl.learning.rival import RivalSignal, frame_layout
from codesign.hdl.learning.timing import DenseTiming, FrameWork, RivalTiming
from codesign.hdl.loading.load import load_signature
from codesign.hdl.register_slice import RegisterSlice
from codesign.hdl.spikes.scan import ScanTiming, SpikeScan
from codesign.hdl.stream import Component, beat, stream_signature
from codesign.learning import LearningLayer, Rival


class TaughtDense(Component):
    """``layer`` with its learning signal ``rival`` and its first ``weights``.

    ``i``: frames of a header (:class:`HeaderStrip`: whether the frame learns, and its target) and
    ``steps`` rows of spikes, ``simd`` (a divisor of the inputs) a beat; with ``simd`` 0 all of
    them as address events (:class:`EventStrip`). ``o``: ``steps`` rows of the outputs' spikes,
    ``lanes`` a beat, with a header of their own where ``passes`` says so.
    ``load``: the weights; an access waits until the weights of the last frame are written.

    States are shown by ``core.neurons``. ``log_pre`` (input, trace), ``log_post`` (group, Psi
    and its trace of each lane) and ``log_weights`` (row, the weight of each lane) show every word
    that learning writes, each for one cycle (a cycle later), in the order of
    :class:`codesign.learning.taught.Taught`.
    """

    def __init__(
        self,
        layer: LearningLayer,
        rival: Rival,
        weights: np.ndarray,
        *,
        steps: int,
        lanes: int,
        simd: int,
        passes: bool,
        weight_memory: str = "auto",
    ) -> None:
        inputs, classes = layer.inputs, rival.classes
        layout = frame_layout(classes)
        self.core = LearningDense(
            layer, weights, steps=steps, lanes=lanes, weight_memory=weight_memory
        )
        self.signal = RivalSignal(rival, steps=steps, lanes=lanes, bits=layer.rule.signal.bits)
        self.scan = SpikeScan(inputs, steps, simd) if simd else None
        self.strip = (
            HeaderStrip(inputs, steps, simd, classes)
            if simd
            else EventStrip(inputs, steps, classes)
        )
        self.gate = FrameGate(inputs, steps, layout)
        self.insert = HeaderInsert(layer.outputs, steps, lanes, classes) if passes else None
        self.slice = RegisterSlice(self.strip.i.payload.shape())
        self.steps, self.classes, self.layout = steps, classes, layout
        core, rule = self.core, layer.rule
        post = max(rule.psi.word.bits, rule.post.bits, len(core.probe_post.group))
        row = max(rule.weight.bits, 1 + len(core.probe_weights.row))
        pre = max(rule.pre.bits, len(core.probe_pre.input))
        logs = {
            "log_pre": beat(unsigned(pre), 2),
            "log_post": beat(unsigned(post), 1 + 2 * lanes),
            "log_weights": beat(signed(row), 1 + lanes),
        }
        super().__init__(
            {
                "i": In(stream.Signature(self.strip.i.payload.shape())),
                "o": Out(stream_signature(unsigned(1), lanes)),
                "load": In(load_signature()),
                **{n: Out(stream.Signature(s, always_ready=True)) for n, s in logs.items()},
            }
        )

    @property
    def memory(self) -> object:
        """What stands on the bus: a word of ``lanes`` weights for each group and input."""
        return self.core.memory

    def timing(self, work: Sequence[FrameWork]) -> "TaughtTiming":
        """The event model for frames of this ``work``."""
        return TaughtTiming(self, work)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += Signal(name="o_transfer").eq(self.o.valid & self.o.ready)  # see Network
        parts = {
            "slice": self.slice, "strip": self.strip, "gate": self.gate, "core": self.core,
            "signal": self.signal,
        }  # fmt: skip
        for name, part in parts.items():
            m.submodules[name] = part
        core, signal = self.core, self.signal
        wiring.connect(m, wiring.flipped(self.i), self.slice.i)
        wiring.connect(m, self.slice.o, self.strip.i)
        if self.scan is None:
            wiring.connect(m, self.strip.o, self.gate.i)
        else:
            m.submodules.scan = self.scan
            wiring.connect(m, self.strip.o, self.scan.i)
            wiring.connect(m, self.scan.o, self.gate.i)
        wiring.connect(m, self.gate.o, core.i)
        m.d.comb += core.learn.eq(self.gate.learn)
        wiring.connect(m, signal.signal, core.signal)
        m.d.comb += signal.result.ready.eq(1)
        copies = m.submodules.copies = Fork(core.o.payload.shape(), 2)
        wiring.connect(m, core.o, copies.i)
        wiring.connect(m, copies.o0, signal.i)
        takers = [self.gate, signal]
        if self.insert is None:
            wiring.connect(m, copies.o1, wiring.flipped(self.o))
        else:
            m.submodules.insert = self.insert
            takers.append(self.insert)
            wiring.connect(m, copies.o1, self.insert.i)
            wiring.connect(m, self.insert.o, wiring.flipped(self.o))
        told = m.submodules.told = Fork(self.layout, len(takers))
        wiring.connect(m, self.strip.frame, told.i)
        for n, taker in enumerate(takers):
            queue = m.submodules[f"frames{n}"] = RegisterSlice(self.layout)
            wiring.connect(m, getattr(told, f"o{n}"), queue.i)
            wiring.connect(m, queue.o, taker.frame)
        self._load(m)
        self._show(m)
        return m

    def _load(self, m: Module) -> None:
        """An access to the weights waits while they change."""
        own, core = self.load, self.core.load
        m.d.comb += [
            core.request.eq(own.request & ~self.core.busy),
            core.write.eq(own.write),
            core.address.eq(own.address),
            core.data.eq(own.data),
            own.ack.eq(core.ack),
            own.error.eq(core.error),
            own.read.eq(core.read),
        ]

    def _show(self, m: Module) -> None:
        core, rule = self.core, self.core.rule
        pre, post, rows = core.probe_pre, core.probe_post, core.probe_weights
        psi_bits, post_bits, bits = rule.psi.word.bits, rule.post.bits, rule.weight.bits
        lanes = range(core.lanes)
        said: dict[str, tuple[Value, list[Value]]] = {
            "log_pre": (pre.valid, [pre.input, pre.trace]),
            "log_post": (
                post.valid,
                [
                    post.group,
                    *(post.psi[n * psi_bits :][:psi_bits] for n in lanes),
                    *(post.post[n * post_bits :][:post_bits] for n in lanes),
                ],
            ),
            "log_weights": (
                rows.valid,
                [rows.row, *(rows.data[n * bits :][:bits].as_signed() for n in lanes)],
            ),
        }
        for name, (valid, codes) in said.items():
            port = getattr(self, name)
            # Registers that nobody reads: simulation sees their names, synthesis drops them.
            m.d.sync += [port.valid.eq(valid), port.payload.last.eq(1)]
            m.d.sync += [port.payload.data[n].eq(code) for n, code in enumerate(codes)]


class TaughtTiming(Stage):
    """Event model of :class:`TaughtDense` for frames of a given work."""

    def __init__(self, part: TaughtDense, work: Sequence[FrameWork]) -> None:
        self._part, self._work = part, list(work)

    def processes(self) -> Sequence[Process]:
        part, work = self._part, self._work
        learns = [frame.learns for frame in work]
        front, strip = part.slice.timing(), _strip(part, work)
        dense = DenseTiming(part.core, work)
        rival = RivalTiming(learns, part.steps, part.core.groups, part.classes)
        copies = Fork(part.core.o.payload.shape(), 2).timing()
        front.i = self.i
        link(front, strip)
        stages: list[Stage] = [front, strip, dense, rival, copies]
        if part.scan is None:
            link(strip, dense)
        else:
            scan = _scan(work)
            stages.append(scan)
            link(strip, scan)
            link(scan, dense)
        link(dense, copies)
        link(copies, rival, "o0", "i")
        link(rival, dense, "signal", "signal")
        takers: list[Stage] = [dense, rival]
        if part.insert is None:
            copies.o1 = self.o  # type: ignore[attr-defined]
        else:
            insert = part.insert.timing()
            link(copies, insert, "o1", "i")
            insert.o = self.o
            takers.append(insert)
            stages.append(insert)
        told = Fork(part.layout, len(takers)).timing()
        link(strip, told, "frame", "i")
        stages.append(told)
        for n, taker in enumerate(takers):
            queue = RegisterSlice(part.layout).timing()
            link(told, queue, f"o{n}", "i")
            link(queue, taker, "o", "frame")
            stages.append(queue)
        return [process for stage in stages for process in stage.processes()]


def _strip(part: TaughtDense, work: Sequence[FrameWork]) -> StripTiming:
    """The strip of the frames' headers, whose beats of events are as many as their spikes."""
    if isinstance(part.strip, HeaderStrip):
        return part.strip.timing()
    return part.strip.timing(
        [
            (part.strip.rows + frame.header, sum(step.events + 1 for step in frame.steps))
            for frame in work
        ]
    )


def _scan(work: Sequence[FrameWork]) -> Stage:
    """The scan of the frames' spikes: how many lie in each of its beats."""
    return ScanTiming(np.array([step.scanned for frame in work for step in frame.steps], np.int64))
