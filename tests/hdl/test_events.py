"""The kernel of the timing models: asking what comes by a cycle."""

from codesign.hdl.events import Source, Stage, Wire, link, simulate
from codesign.hdl.timing import Fifo


class Impatient(Stage):
    """Each cycle from ``start`` on: takes a beat that is offered, else notes that none was."""

    def __init__(self, start: int, cycles: int) -> None:
        self.start, self.cycles, self.seen = start, cycles, ""

    def processes(self):
        yield self._run()

    def _run(self):
        n = 0
        for t in range(self.start, self.start + self.cycles):
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n, t
            here = len(self.i.valid.at) > n and self.i.valid.at[n] <= t
            self.seen += "x" if here else "."
            if here:
                self.i.taken.put(t)
                n += 1
                for wire in self.replies:
                    wire.valid.put(t + 2)


def test_a_beat_that_never_comes_is_noticed():
    source, fifo, last = Source(2), Fifo(2), Impatient(0, 5)
    last.replies = []
    link(source, fifo)
    link(fifo, last)
    simulate([source, fifo, last])
    assert last.seen == ".xx.."


def test_the_earliest_one_decides_first():
    """Two that wait for each other's beats: neither sees into its future."""
    for turned in (False, True):
        one, two = Impatient(0, 9), Impatient(3, 6)
        one.i, two.i = Wire(), Wire()
        one.replies, two.replies = [two.i], [one.i]
        one.i.valid.put(1)
        simulate([two, one] if turned else [one, two])
        assert (one.seen, two.seen) == (".x...x...", "x...x.")
