"""Exact event model of the stream handshakes, in plain Python.

Every component has a model class. ``offer(t)`` says that a beat is valid at the input from cycle
``t`` on (the beats before it were offered earlier) and returns the cycle of its transfer. A model
offers its own output beats to ``self.next`` as soon as their time is known, so back-pressure is
modelled exactly: a later beat never changes the time of an earlier one.

``run_chain`` builds the two numbers of ARCHITECTURE.md, latency and initiation interval (II), in
cycles.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence


class Stage(ABC):
    """One component of a chain; ``next`` is whoever takes its output beats."""

    next: "Stage"

    @abstractmethod
    def offer(self, t: int) -> int:
        """Transfer the next input beat, valid from cycle ``t`` on; return the cycle it moves in."""


class Sink(Stage):
    """Always ready; ``times`` records the cycle of every transfer."""

    def __init__(self) -> None:
        self.times: list[int] = []

    def offer(self, t: int) -> int:
        self.times.append(t)
        return t


class _Clock:
    """Maps enabled cycles of a stalling pipeline (``ce = ~o.valid | o.ready``) to real cycles.

    ``latency`` registers lie between issue and output: a beat issued in enabled cycle ``k`` is
    transferred in enabled cycle ``k + latency``; the cycles it waits for ``o.ready`` are skipped.
    """

    def __init__(self, latency: int) -> None:
        self.latency = latency
        self.last = -1  # enabled cycle of the latest issue
        self._offset = 0
        self._stalls: deque[tuple[int, int]] = deque()

    def issue(self, t: int) -> int:
        """Issue in the first enabled cycle that is not before real cycle ``t``; return it."""
        k = self.last + 1
        while True:
            while self._stalls and self._stalls[0][0] <= k:
                self._offset += self._stalls.popleft()[1]
            if k + self._offset >= t:
                break
            wanted = t - self._offset
            k = min(wanted, self._stalls[0][0]) if self._stalls else wanted
        self.last = k
        return k + self._offset

    def emit(self, target: Stage) -> None:
        """The latest issue completes an output beat: offer it and record the stall it causes."""
        key = self.last + self.latency
        visible = key + self._offset + sum(stall for _, stall in self._stalls)
        taken = target.offer(visible)
        if taken > visible:
            self._stalls.append((key, taken - visible))


class Pipe(Stage):
    """A stalling pipeline: one output beat per ``group`` input beats, the frame's rest included.

    ``beats``: input beats per frame; ``group`` restarts at each frame. Upsizer, ArgMax, Requant
    and the matrix-vector unit with a single row fold are all this.
    """

    def __init__(self, latency: int, group: int = 1, beats: int = 1) -> None:
        self._clock = _Clock(latency)
        self._group, self._beats, self._n = group, beats, 0

    def offer(self, t: int) -> int:
        taken = self._clock.issue(t)
        self._n += 1
        if self._n == self._beats or self._n % self._group == 0:
            self._clock.emit(self.next)
        if self._n == self._beats:
            self._n = 0
        return taken


class MatVecTiming(Stage):
    """The folded matrix-vector unit: ``nf`` passes over ``sf`` input beats per frame.

    With more than one pass the beats go through a buffer of two frames whose ``ready`` depends
    only on how many slots are taken, not on the pipeline's clock enable.
    """

    def __init__(self, nf: int, sf: int, latency: int) -> None:
        self.nf, self.sf = nf, sf
        self._clock = _Clock(latency)
        self._beat = 0  # of the frame that is being offered
        self._previous = -1
        self._freed: deque[int] = deque()  # cycles in which the buffer's slots become free
        self._used = 0

    def offer(self, t: int) -> int:
        taken = self._load(t) if self.nf > 1 else t
        issued = self._clock.issue(taken)
        if self.nf == 1:
            taken = issued
        self._beat += 1
        if self._beat == self.sf:
            self._clock.emit(self.next)
            self._beat = 0
            if self.nf > 1:
                self._remaining_passes()
        return taken

    def _load(self, t: int) -> int:
        taken = max(t, self._previous + 1)
        if self._used == 2 * self.sf:
            taken = max(taken, self._freed.popleft() + 1)
        else:
            self._used += 1
        self._previous = taken
        return taken

    def _remaining_passes(self) -> None:
        for fold in range(1, self.nf):
            for _ in range(self.sf):
                issued = self._clock.issue(0)
                if fold == self.nf - 1:
                    self._freed.append(issued)
            self._clock.emit(self.next)


class DownsizerTiming(Stage):
    """Holds one beat and hands it on in ``ratio`` chunks; ``chunks`` per frame, padding dropped."""

    def __init__(self, ratio: int, chunks: int) -> None:
        self._ratio, self._chunks, self._n = ratio, chunks, 0
        self._free = 0  # cycle of the last chunk's transfer: the next beat may enter

    def offer(self, t: int) -> int:
        taken = max(t, self._free)
        count = min(self._ratio, self._chunks - self._n)
        self._n = (self._n + count) % self._chunks
        moment = taken
        for _ in range(count):
            moment = self.next.offer(moment + 1)
        self._free = moment
        return taken


class RegisterSliceTiming(Stage):
    """Two entries; ``ready`` is registered, so a slot is reusable the cycle after it empties."""

    def __init__(self) -> None:
        self._outs: deque[int] = deque([-1, -1], maxlen=2)
        self._previous = -1

    def offer(self, t: int) -> int:
        taken = max(t, self._previous + 1, self._outs[0] + 1)
        self._previous = taken
        self._outs.append(self.next.offer(max(taken, self._outs[1]) + 1))
        return taken


def width_adapter_timing(elements: int, from_lanes: int, to_lanes: int) -> list[Stage]:
    """The models of what ``width_adapter`` builds for the same arguments (none if equal)."""
    from math import gcd

    common = gcd(from_lanes, to_lanes)
    stages: list[Stage] = []
    narrow = -(-elements // common)
    if from_lanes != common:
        stages.append(DownsizerTiming(from_lanes // common, narrow))
    if to_lanes != common:
        stages.append(Pipe(1, to_lanes // common, narrow))
    return stages


def connect(stages: Iterable[Stage], sink: Stage) -> Stage:
    """Chain ``stages`` into ``sink``; return the first."""
    first = sink
    for stage in reversed(list(stages)):
        stage.next = first
        first = stage
    return first


def drive(
    build: Callable[[], Sequence[Stage]], beats_per_frame: int, frames: int
) -> tuple[list[int], list[int]]:
    """Feed ``frames`` frames from an always-valid source; cycles of input and output transfers."""
    sink = Sink()
    first = connect(build(), sink)
    taken: list[int] = []
    for _ in range(beats_per_frame * frames):
        taken.append(first.offer(taken[-1] + 1 if taken else 0))
    return taken, sink.times


def run_chain(
    build: Callable[[], Sequence[Stage]], beats_per_frame: int, frames: int = 64
) -> tuple[int, int]:
    """(latency, II) in cycles of the chain that ``build()`` makes afresh.

    Latency: one frame alone, first input transfer to last output transfer. II: distance between
    the last output beats of successive frames once it repeats; the mean over the final half of
    ``frames`` rounded up if it never does.
    """
    taken, out = drive(build, beats_per_frame, 1)
    latency = out[-1] - taken[0]
    taken, out = drive(build, beats_per_frame, frames)
    per_frame = len(out) // frames
    ends = out[per_frame - 1 :: per_frame]
    half = frames // 2
    return latency, -(-(ends[-1] - ends[half - 1]) // (frames - half))
