"""The phases of a step that learns."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from codesign.hdl.memories import Counter
from codesign.hdl.stream import Component

#: Bits of the number of steps on their way through the neurons.
FLYING_BITS = 8
#: What the phases follow, and what they say.
GIVEN = ("ready", "learn", "taken", "step_end", "step_left", "gathered", "made", "walked")
MADE = ("go", "marks", "gather", "open", "walk", "fresh", "final", "busy")


class Steps(Component):
    """Events are taken while ``go``. In a frame that learns, the end of a step leads to
    ``gather`` (until ``gathered``), ``open`` (until ``made``) and ``walk`` (until ``walked``);
    then the next step's events may come.

    ``taken``, ``step_end``: a beat is taken. ``step_left``: the neurons have done a step.
    ``learn`` counts for a frame as its first beat is taken; such a frame waits for the steps of
    one that did not learn. ``fresh``, ``final``: the step is a frame's first, its last.
    ``busy``: a step that learns has ended and its weights are not all written.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        super().__init__({**{name: In(1) for name in GIVEN}, **{name: Out(1) for name in MADE}})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ends, first = Signal(), Signal(init=1)
        m.d.comb += ends.eq(self.taken & self.step_end)
        step = Counter(m, "step", self._steps, ends)
        learned, learns = Signal(name="learned"), Signal(name="learns")
        m.d.comb += learns.eq(Mux(first, self.learn, learned))
        with m.If(self.taken):
            m.d.sync += [first.eq(self.step_end & step.last), learned.eq(learns)]
        flying = Signal(FLYING_BITS)
        m.d.sync += flying.eq(flying + ends - self.step_left)
        fresh, final = Signal(name="was_fresh"), Signal(name="was_final")
        with m.If(ends):
            m.d.sync += [fresh.eq(step.value == 0), final.eq(step.last)]
        m.d.comb += [
            self.marks.eq(self.taken & ~self.step_end & learns),
            self.fresh.eq(fresh),
            self.final.eq(final),
        ]
        m.d.comb += self.busy.eq(1)
        with m.FSM():
            with m.State("EVENTS"):
                m.d.comb += self.busy.eq(0)
                m.d.comb += self.go.eq(self.ready & (~learns | (flying == 0)))
                with m.If(ends & learns):
                    m.next = "GATHER"
            with m.State("GATHER"):
                m.d.comb += self.gather.eq(1)
                with m.If(self.gathered):
                    m.next = "SIGNAL"
            with m.State("SIGNAL"):
                m.d.comb += self.open.eq(1)
                with m.If(self.made):
                    m.next = "WALK"
            with m.State("WALK"):
                m.d.comb += self.walk.eq(1)
                with m.If(self.walked):
                    m.next = "EVENTS"
        return m
