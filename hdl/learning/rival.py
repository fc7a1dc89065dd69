"""The learning signal made on the chip: :class:`codesign.learning.Rival`."""

from amaranth.hdl import Array, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from codesign.hdl.memories import Counter, pack, rom, style_for
from codesign.hdl.stream import Component, range_shape, stream_signature
from codesign.learning import Rival


def frame_layout(classes: int) -> StructLayout:
    """What is said of a frame: its ``target``, and whether to ``learn`` it."""
    return StructLayout({"target": unsigned(max(1, (classes - 1).bit_length())), "learn": 1})


class RivalSignal(Component):
    """``i``: the spikes of a layer, ``lanes`` a beat, ``steps`` steps a frame; ``frame``: a beat of
    :func:`frame_layout` for each, taken with its end. ``signal``: where the frame learns, the
    learning signal of each step, codes of ``bits`` bits, ``lanes`` a beat. ``result``: the class
    of the best score after each frame.

    A step takes a cycle for each beat of spikes and three more; where the frame learns, or at its
    end, a cycle for each class and three more; and, where it learns, a cycle for each beat of the
    signal and one more.
    """

    def __init__(self, rival: Rival, *, steps: int, lanes: int, bits: int) -> None:
        outputs = len(rival.signs)
        if lanes < 1 or outputs % lanes:
            raise ValueError(f"{lanes} lanes do not divide {outputs} outputs")
        lo, hi = rival.span
        if lo < -(1 << (bits - 1)) or hi > (1 << (bits - 1)) - 1:
            raise ValueError(f"signals {lo}..{hi} do not fit {bits} bits")
        self._rival, self._steps, self._lanes = rival, steps, lanes
        self.groups = outputs // lanes
        self._sign = range_shape(int(rival.signs.min()), int(rival.signs.max()))
        plus = rival.signs.clip(min=0).sum(axis=0).max() * steps
        minus = rival.signs.clip(max=0).sum(axis=0).min() * steps
        self._score = range_shape(min(int(minus), -1), int(plus))
        frame = frame_layout(rival.classes)
        super().__init__(
            {
                "i": In(stream_signature(unsigned(1), lanes)),
                "frame": In(stream.Signature(frame)),
                "signal": Out(stream_signature(signed(bits), lanes)),
                "result": Out(stream.Signature(frame["target"].shape)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        classes = self._rival.classes
        scores = [Signal(self._score, name=f"score{c}") for c in range(classes)]
        emit = Signal(name="emit")
        ce = Signal(name="ce_signal")
        m.d.comb += ce.eq(~self.signal.valid | self.signal.ready)
        step_over, frame_over, clear = Signal(), Signal(), Signal()
        step = Counter(m, "step", self._steps, step_over)
        m.d.comb += frame_over.eq(step_over & step.last)
        read, data = self._signs(m, Mux(emit, ce, 1))
        takes, group = self._gather(m, scores, data, clear)
        m.d.comb += self.frame.ready.eq(frame_over)
        found = self._search(m, scores)
        gives = Signal(name="gives")
        given = Counter(m, "given", self.groups, gives)
        m.d.comb += read.eq(Mux(emit, given.value, group.value))
        self._emit(m, gives, ce, given, step.last, data, found)
        wait = Signal(2)
        learn = self.frame.payload.learn
        with m.If(self.result.valid & self.result.ready):
            m.d.sync += self.result.valid.eq(0)
        m.d.comb += clear.eq(frame_over)
        with m.FSM():
            with m.State("SPIKES"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(takes & group.last):
                    m.d.sync += wait.eq(0)
                    m.next = "ADD"
            with m.State("ADD"):
                m.d.sync += wait.eq(wait + 1)
                with m.If((wait == 2) | wait.all()):
                    m.d.sync += wait.eq(3)
                    with m.If(self.frame.valid & ~self.result.valid):
                        m.d.comb += found["begin"].eq(learn | step.last)
                        with m.If(learn | step.last):
                            m.next = "SEARCH"
                        with m.Else():
                            m.d.comb += step_over.eq(1)
                            m.next = "SPIKES"
            with m.State("SEARCH"):
                m.d.comb += found["search"].eq(1)
                with m.If(found["done"]):
                    with m.If(step.last):
                        m.d.sync += [self.result.valid.eq(1), self.result.payload.eq(found["top"])]
                    with m.If(learn):
                        m.next = "EMIT"
                    with m.Else():
                        m.d.comb += step_over.eq(1)
                        m.next = "SPIKES"
            with m.State("EMIT"):
                m.d.comb += [emit.eq(1), gives.eq(ce)]
                with m.If(gives & given.last):
                    m.next = "LEAVE"
            with m.State("LEAVE"):
                m.d.comb += emit.eq(1)
                with m.If(ce):
                    m.d.comb += step_over.eq(1)
                    m.next = "SPIKES"
        return m

    def _signs(self, m: Module, en: Value) -> tuple[Signal, Value]:
        """(group to read, the signs of its lanes a cycle later)."""
        signs, width = self._rival.signs, self._sign.width
        words = [
            pack([(int(s), width) for s in row])
            for row in signs.reshape(self.groups, self._lanes * self._rival.classes)
        ]
        wide = width * self._lanes * self._rival.classes
        address, data = rom(m, "signs", words, wide, style_for(len(words), wide), en)
        read = Signal(range(max(2, self.groups)), name="sign_group")
        m.d.comb += address.eq(read)
        return read, Value.cast(data)

    def _sign_of(self, data: Value, lane: int, number: int) -> Value:
        width = self._sign.width
        own = data[(lane * self._rival.classes + number) * width :][:width]
        return own.as_signed() if self._sign.signed else own

    def _gather(
        self, m: Module, scores: list[Signal], data: Value, clear: Value
    ) -> tuple[Value, Counter]:
        """Adds the signs of what spikes, two cycles after it came."""
        takes, added = Signal(name="spikes_taken"), Signal(name="signs_here")
        m.d.comb += takes.eq(self.i.valid & self.i.ready)
        group = Counter(m, "group", self.groups, takes)
        spikes, adds = Signal(self._lanes, name="spikes"), Signal(name="sums_here")
        m.d.sync += [spikes.eq(self.i.payload.data.as_value()), added.eq(takes), adds.eq(added)]
        for number, score in enumerate(scores):
            terms = [Mux(spikes[n], self._sign_of(data, n, number), 0) for n in range(self._lanes)]
            total: Value = terms[0]
            for term in terms[1:]:
                total = total + term
            held = Signal(total.shape(), name=f"sum{number}", reset_less=True)
            m.d.sync += held.eq(total)
            with m.If(clear):
                m.d.sync += score.eq(0)
            with m.Elif(adds):
                m.d.sync += score.eq(score + held)
        return takes, group

    def _search(self, m: Module, scores: list[Signal]) -> dict[str, Signal]:
        """The best class, and the best but the target; the first of equals. A class a cycle: it is
        chosen in one, and compared in the next."""
        target = self.frame.payload.target
        index = Signal.like(target, name="class")
        begin, search = Signal(name="begin_search"), Signal(name="search")
        chosen, over = Signal(name="all_chosen"), Signal(name="all_seen")
        here = Signal.like(scores[0], name="here", reset_less=True)
        number = Signal.like(target, name="class_here", reset_less=True)
        first, last = Signal(name="first_here"), Signal(name="last_here")
        valid, is_target = Signal(name="score_here"), Signal(name="target_here")
        m.d.sync += [
            valid.eq(search & ~chosen),
            here.eq(Array(scores)[index]),
            number.eq(index),
            first.eq(index == 0),
            last.eq(index == len(scores) - 1),
            is_target.eq(index == target),
        ]
        with m.If(search & ~chosen):
            m.d.sync += [index.eq(index + 1), chosen.eq(index == len(scores) - 1)]
        with m.If(valid):
            m.d.sync += over.eq(last)
        with m.If(begin):
            m.d.sync += [index.eq(0), chosen.eq(0), over.eq(0)]
        compared = self._compare(m, valid, begin, here, number, first, is_target)
        return {"begin": begin, "search": search, "done": over, **compared}

    def _compare(
        self,
        m: Module,
        valid: Value,
        begin: Value,
        here: Signal,
        number: Signal,
        first: Value,
        is_target: Value,
    ) -> dict[str, Signal]:
        """Keeps the class ``number`` and its score ``here`` where they are better."""
        top, rival = Signal.like(number, name="top"), Signal.like(number, name="rival")
        best, second = Signal.like(here, name="best"), Signal.like(here, name="second")
        own, any_yet = Signal.like(here, name="own"), Signal(name="one_seen")
        with m.If(valid):
            with m.If(first | (here > best)):
                m.d.sync += [best.eq(here), top.eq(number)]
            with m.If(~is_target & (~any_yet | (here > second))):
                m.d.sync += [second.eq(here), rival.eq(number), any_yet.eq(1)]
            with m.If(is_target):
                m.d.sync += own.eq(here)
        with m.If(begin):
            m.d.sync += any_yet.eq(0)
        # Late by a cycle, in which the signs of the first group are read.
        wrong = Signal(name="wrong")
        m.d.sync += wrong.eq(own - second < self._rival.margin)
        return {"top": top, "rival": rival, "wrong": wrong}

    def _emit(
        self,
        m: Module,
        gives: Value,
        ce: Value,
        given: Counter,
        final: Value,
        data: Value,
        found: dict[str, Signal],
    ) -> None:
        """The signal of a group: rival's sign less target's, where the answer is wrong."""
        here, last = Signal(name="signs_to_give"), Signal(name="last_to_give")
        target, classes = self.frame.payload.target, self._rival.classes
        with m.If(ce):
            m.d.sync += [
                here.eq(gives),
                last.eq(given.last & final),
                self.signal.valid.eq(here),
                self.signal.payload.last.eq(last),
            ]
            for lane in range(self._lanes):
                signs = Array([self._sign_of(data, lane, c) for c in range(classes)])
                m.d.sync += self.signal.payload.data[lane].eq(
                    Mux(found["wrong"], signs[found["rival"]] - signs[target], 0)
                )
