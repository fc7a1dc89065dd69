"""Time in a pipeline that stalls as a whole: enabled cycles and real ones."""

from bisect import bisect_right
from collections.abc import Generator, Sequence

from codesign.hdl.events import FOREVER, Process, Times, Wire, in_turn

Wait = Generator[tuple[Times, int], None, int]


class Clock:
    """Enabled cycles of a stalling pipeline (``ce = ~o.valid | o.ready``) and real cycles.

    ``latency`` registers lie between issue and output: a beat issued in enabled cycle ``k`` is
    transferred in enabled cycle ``k + latency``; the cycles it waits for ``o.ready`` are skipped.
    A stall is absorbed when the pipeline gets to it. An output beat that the consumer promised to
    take causes none, so stretches of sure ones are issued at once (:meth:`run`, :meth:`follow`).
    """

    def __init__(self, latency: int, output: Wire) -> None:
        self._latency, self._out = latency, output
        self._last = -1  # enabled cycle of the latest issue
        self._offset = 0  # real minus enabled cycles, as far as stalls are absorbed
        self._absorbed = 0
        self._keys = Times()  # enabled cycles in which output beats are transferred

    @property
    def soonest(self) -> int:
        """No issue from now on comes before this real cycle."""
        return self._last + 1 + self._offset

    @property
    def latest(self) -> int:
        """Enabled cycle of the latest issue."""
        return self._last

    def issue(self, t: int, enabled: int = 0) -> Wait:
        """Issue in the first enabled cycle that is not before real cycle ``t`` nor before enabled
        cycle ``enabled``; return the real cycle."""
        k, keys = max(self._last + 1, enabled), self._keys.at
        while True:
            while not self._absorb(k):
                yield self._out.taken, self._absorbed
            if k + self._offset >= t:
                break
            k = t - self._offset
            if self._absorbed < len(keys):
                k = min(k, keys[self._absorbed])
        self._last = k
        return k + self._offset

    def _absorb(self, k: int) -> bool:
        """Take the stalls of outputs up to enabled cycle ``k`` into account; False: the next one
        is not known yet."""
        keys, out = self._keys.at, self._out
        m, known, offset = self._absorbed, len(keys), self._offset
        while m < known and keys[m] <= k:
            sure = out.reach(m, keys[m] + offset)
            if sure > m:
                m = bisect_right(keys, k, m, min(known, sure))  # none of these stalls
                continue
            if len(out.taken.at) <= m:
                self._absorbed, self._offset = m, offset
                return False
            offset += out.taken.at[m] - out.valid.at[m]
            m += 1
        self._absorbed, self._offset = m, offset
        return True

    def emit(self) -> None:
        """The latest issue completes an output beat."""
        self._keys.put(self._last + self._latency)

    def sure(self, ahead: int = 1, t: int = 0) -> int:
        """How many output beats may be completed by issues from real cycle ``t`` on before the
        pipeline may stall, the first one by the ``ahead``-th issue; 0 where it may already."""
        if not self._absorb(self._last + 1):
            return 0
        k, keys, out = self._last + 1, self._keys.at, self._out
        made, m = len(keys), self._absorbed
        if m < made and out.reach(m, keys[m] + self._offset) < made:
            return 0
        first = max(k + self._offset, t) + ahead - 1 + self._latency
        return out.reach(made, first) - made + 1

    def follow(self, wishes: Sequence[int], ends: Sequence[int]) -> list[int]:
        """Issue for each of ``wishes`` (real cycles) in turn; those numbered ``ends`` complete an
        output beat, at most :meth:`sure` ones. Their cycles."""
        times = in_turn(wishes, self._last + self._offset)
        shift = self._latency - self._offset
        self._last = times[-1] - self._offset
        self._keys.extend([times[e] + shift for e in ends])
        return times

    def run(
        self, count: int, every: int, mark: Times | None = None, step: int = 1
    ) -> Generator[tuple[Times, int], None, None]:
        """Issue ``count`` beats that are all there, in successive enabled cycles, each ``every``-th
        of them completing an output beat (0: none does). ``mark`` gets the cycle of each
        ``step``-th issue. ``every`` and ``step`` divide ``count``."""
        while count:
            while not self._absorb(self._last + 1):
                yield self._out.taken, self._absorbed
            k, keys = self._last + 1, self._keys.at
            ahead = (count - 1) % every + 1 if every else FOREVER  # issues to the next output beat
            first, many = k + ahead - 1 + self._latency, self.sure(ahead)
            end = first + max(many - 1, 0) * every  # the first cycle that may not be enabled
            if not many and self._absorbed < len(keys):
                end = min(end, keys[self._absorbed])
            n = min(count, end - k)
            if mark is not None:
                real = k + self._offset
                mark.extend(range(real + (count - 1) % step, real + n, step))
            self._last, count = k + n - 1, count - n
            if first < k + n + self._latency:
                self._keys.extend(range(first, k + n + self._latency, every))

    def issue_run(self, count: int) -> Generator[tuple[Times, int], None, list[int]]:
        """As :meth:`run` where none completes an output beat; the cycles."""
        mark = Times()
        yield from self.run(count, 0, mark)
        return mark.at

    def emissions(self) -> Process:
        """Offers the output beats; one of the stage's processes."""
        m, offset, keys, out = 0, 0, self._keys, self._out
        while True:
            if len(keys.at) <= m:
                yield keys, m
            visible = keys.at[m] + offset
            end = min(len(keys.at), out.reach(m, visible))
            if m < end:
                waiting = keys.at[m:end]
                out.valid.extend([k + offset for k in waiting] if offset else waiting)
                m = end
                continue
            out.valid.put(visible)
            if len(out.taken.at) <= m:
                yield out.taken, m
            offset += out.taken.at[m] - visible
            m += 1
