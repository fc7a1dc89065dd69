"""Layers that learn, one after the other, each with its learning signal: a whole classifier."""

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from codesign.hdl.fork import Fork
from codesign.hdl.learning.layer import LearningDense
from codesign.hdl.learning.rival import RivalSignal, frame_layout
from codesign.hdl.loading.load import load_signature
from codesign.hdl.memories import Counter
from codesign.hdl.register_slice import RegisterSlice
from codesign.hdl.spikes.aer import event_signature
from codesign.hdl.spikes.scan import SpikeScan
from codesign.hdl.stream import Component
from codesign.learning import LearningNet


class LearningNetwork(Component):
    """``net`` with its first ``weights``, in frames of ``steps`` steps.

    ``i``: events; ``frame``: for each frame its target and whether to learn it
    (:func:`frame_layout`), before its first event is taken. ``o``: the class of each frame.
    ``load_layerN``: the weights of each layer, while no frame is in flight and ``busy`` is low.
    ``lanes``: of each layer.
    """

    def __init__(
        self, net: LearningNet, weights: Sequence[np.ndarray], *, steps: int, lanes: Sequence[int]
    ) -> None:
        self.net, self.steps = net, steps
        self.layers = [
            LearningDense(layer, w, steps=steps, lanes=n)
            for layer, w, n in zip(net.layers, weights, lanes, strict=True)
        ]
        self.signals = [
            RivalSignal(rival, steps=steps, lanes=part.lanes, bits=part.rule.signal.bits)
            for rival, part in zip(net.signals, self.layers, strict=True)
        ]
        classes = max(rival.classes for rival in net.signals)
        if any(rival.classes != classes for rival in net.signals):
            raise ValueError("all learning signals of a network have the same classes")
        self.frame_layout = frame_layout(classes)
        super().__init__(
            {
                "i": In(event_signature(net.layers[0].inputs)),
                "frame": In(stream.Signature(self.frame_layout)),
                "o": Out(stream.Signature(self.frame_layout["target"].shape)),
                "busy": Out(1),
                **{f"load_layer{n}": In(load_signature()) for n in range(len(self.layers))},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        legs = m.submodules.frames = Fork(self.frame_layout, 2 * len(self.layers))
        wiring.connect(m, wiring.flipped(self.frame), legs.i)
        m.d.comb += self.busy.eq(Cat(layer.busy for layer in self.layers).any())
        events = wiring.flipped(self.i)
        for n, (layer, signal) in enumerate(zip(self.layers, self.signals, strict=True)):
            queues = [RegisterSlice(self.frame_layout) for _ in range(2)]
            for k, queue in enumerate(queues):
                m.submodules[f"frame{n}_{k}"] = queue
                wiring.connect(m, getattr(legs, f"o{2 * n + k}"), queue.i)
            gate = m.submodules[f"gate{n}"] = FrameGate(
                self.net.layers[n].inputs, self.steps, self.frame_layout
            )
            m.submodules[f"layer{n}"], m.submodules[f"signal{n}"] = layer, signal
            wiring.connect(m, events, gate.i)
            wiring.connect(m, queues[0].o, gate.frame)
            wiring.connect(m, gate.o, layer.i)
            wiring.connect(m, queues[1].o, signal.frame)
            wiring.connect(m, signal.signal, layer.signal)
            wiring.connect(m, wiring.flipped(getattr(self, f"load_layer{n}")), layer.load)
            m.d.comb += layer.learn.eq(gate.learn)
            if n == len(self.layers) - 1:
                wiring.connect(m, layer.o, signal.i)
                wiring.connect(m, signal.result, wiring.flipped(self.o))
                continue
            m.d.comb += signal.result.ready.eq(1)
            fork = m.submodules[f"fork{n}"] = Fork(layer.o.payload.shape(), 2)
            scan = SpikeScan(self.net.layers[n].outputs, self.steps, layer.lanes)
            m.submodules[f"scan{n}"] = scan
            wiring.connect(m, layer.o, fork.i)
            wiring.connect(m, fork.o0, signal.i)
            wiring.connect(m, fork.o1, scan.i)
            events = scan.o
        return m


class FrameGate(Component):
    """Lets a frame's events pass once ``frame`` says whether to ``learn`` it, which is meant for
    its first beat; ``frame`` is taken with that."""

    def __init__(self, elements: int, steps: int, layout: object) -> None:
        self._steps = steps
        super().__init__(
            {
                "i": In(event_signature(elements)),
                "o": Out(event_signature(elements)),
                "frame": In(stream.Signature(layout)),
                "learn": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        first, taken, opened = Signal(init=1), Signal(), Signal()
        end = self.i.payload.data.step_end
        step = Counter(m, "step", self._steps, taken & end)
        with m.If(taken):
            m.d.sync += first.eq(end & step.last)
        m.d.comb += [
            opened.eq(~first | self.frame.valid),
            self.o.payload.eq(self.i.payload),
            self.o.valid.eq(self.i.valid & opened),
            self.i.ready.eq(self.o.ready & opened),
            taken.eq(self.o.valid & self.o.ready),
            self.frame.ready.eq(taken & first),
            self.learn.eq(self.frame.payload.learn),
        ]
        return m
