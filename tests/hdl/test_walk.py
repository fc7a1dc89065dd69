"""Beats in bulk are the same beats: the models against those that go one beat at a time."""

from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.hdl import timing
from codesign.hdl.events import Sink, Source, Stage, link, simulate
from codesign.hdl.windows.pixel import PixelSchedule, PixelTiming
from codesign.hdl.windows.tap import TapSchedule, TapTiming
from tests.hdl import walk
from tests.hdl.test_windows import maps

FAST = {
    "pipe": timing.Pipe,
    "matvec": timing.MatVecTiming,
    "down": timing.DownsizerTiming,
    "fifo": timing.Fifo,
    "tap": TapTiming,
    "pixel": PixelTiming,
    "fork": timing.Fork,
}
SLOW = {
    "pipe": walk.Pipe,
    "matvec": walk.MatVecTiming,
    "down": walk.DownsizerTiming,
    "fifo": walk.Fifo,
    "tap": walk.TapTiming,
    "pixel": walk.PixelTiming,
    "fork": walk.Fork,
}


class Drain(Stage):
    """Takes a beat no sooner than ``gaps`` cycles, in turn, after the one before."""

    def __init__(self, gaps):
        self._gaps = gaps

    def processes(self):
        yield self._run()

    def _run(self):
        n, t = 0, -1
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            t = max(self.i.valid.at[n], t + self._gaps[n % len(self._gaps)])
            self.i.taken.put(t)
            n += 1


@st.composite
def stages(draw):
    """(kind, arguments) of one stage."""
    pick = lambda lo, hi: draw(st.integers(lo, hi))  # noqa: E731
    kind = draw(st.sampled_from(["pipe", "pipe", "matvec", "down", "fifo", "tap", "pixel"]))
    if kind == "pipe":
        return kind, (pick(1, 5), pick(1, 5), pick(1, 12))
    if kind == "matvec":
        return kind, (pick(1, 5), pick(1, 6), pick(1, 6))
    if kind == "down":
        return kind, (pick(2, 4), pick(1, 9))
    if kind == "fifo":
        return kind, (draw(st.sampled_from([None, 1, 2, 3, 9])),)
    g = draw(maps(most=6))
    folds = pick(1, 3)
    try:
        if kind == "pixel":
            return kind, (PixelSchedule(g, folds, 1, 1), pick(1, 3))
        schedule = TapSchedule(g, folds * 2, 1, pick(1, 2))
    except ValueError:  # too small a map
        return "fifo", (2,)
    return kind, (schedule, max(2, schedule.depth - pick(0, 1)), pick(1, 3))


DRAINS = st.one_of(st.none(), st.lists(st.integers(1, 9), min_size=1, max_size=5))
SOURCES = st.tuples(st.integers(1, 150), st.integers(1, 3), st.integers(0, 9))
CASES = settings(max_examples=150, derandomize=True, deadline=None, database=None)


def chain(made, source, drain):
    """Each wire's (valid, taken) after a run of ``made`` stages in a row."""
    row = [Source(*source), *made, Sink() if drain is None else Drain(drain)]
    wires = [link(a, b) for a, b in zip(row, row[1:], strict=False)]
    simulate(row)
    return [(w.valid.at, w.taken.at) for w in wires]


@CASES
@given(st.lists(stages(), min_size=1, max_size=5), SOURCES, DRAINS)
def test_a_chain(parts, source, drain):
    fast, slow = (
        chain([kinds[kind](*options) for kind, options in parts], source, drain)
        for kinds in (FAST, SLOW)
    )
    assert fast == slow


@CASES
@given(
    st.tuples(*2 * [st.lists(stages(), max_size=3)]), stages(), SOURCES, st.tuples(DRAINS, DRAINS)
)
def test_a_fork(branches, before, source, drains):
    def run(kinds):
        make = lambda parts: [kinds[kind](*options) for kind, options in parts]  # noqa: E731
        fork = kinds["fork"](["o0", "o1"])
        row = [Source(*source), *make([before]), fork]
        wires = [link(a, b) for a, b in zip(row, row[1:], strict=False)]
        for port, parts, drain in zip(("o0", "o1"), branches, drains, strict=True):
            rest = [*make(parts), Sink() if drain is None else Drain(drain)]
            wires.append(link(fork, rest[0], port))
            wires += [link(a, b) for a, b in zip(rest, rest[1:], strict=False)]
            row += rest
        simulate(row)
        return [(w.valid.at, w.taken.at) for w in wires]

    assert run(FAST) == run(SLOW)
