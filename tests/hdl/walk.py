"""The event models as they are easiest to believe: one beat at a time, nothing promised.

Copies of what :mod:`codesign.hdl.timing` and the windows do at once for many beats; tests compare
the two.
"""

from codesign.hdl.events import Stage, Times


class Clock:
    """Enabled cycles of a stalling pipeline (``ce = ~o.valid | o.ready``) and real cycles.

    ``latency`` registers lie between issue and output: a beat issued in enabled cycle ``k`` is
    transferred in enabled cycle ``k + latency``; the cycles it waits for ``o.ready`` are skipped.
    """

    def __init__(self, latency, output):
        self._latency, self._out = latency, output
        self._last = -1  # enabled cycle of the latest issue
        self._offset = 0  # real minus enabled cycles, as far as stalls are absorbed
        self._absorbed = 0
        self._keys = Times()  # enabled cycles in which output beats are transferred

    def issue(self, t):
        """Issue in the first enabled cycle that is not before real cycle ``t``; return it."""
        k, keys, out = self._last + 1, self._keys.at, self._out
        while True:
            while self._absorbed < len(keys) and keys[self._absorbed] <= k:
                m = self._absorbed
                if len(out.taken.at) <= m:
                    yield out.taken, m
                self._offset += out.taken.at[m] - out.valid.at[m]
                self._absorbed = m + 1
            if k + self._offset >= t:
                break
            k = t - self._offset
            if self._absorbed < len(keys):
                k = min(k, keys[self._absorbed])
        self._last = k
        return k + self._offset

    def emit(self):
        """The latest issue completes an output beat."""
        self._keys.put(self._last + self._latency)

    def emissions(self):
        """Offers the output beats; one of the stage's processes."""
        m, offset, keys, out = 0, 0, self._keys, self._out
        while True:
            if len(keys.at) <= m:
                yield keys, m
            visible = keys.at[m] + offset
            out.valid.put(visible)
            if len(out.taken.at) <= m:
                yield out.taken, m
            offset += out.taken.at[m] - visible
            m += 1


class Pipe(Stage):
    """A stalling pipeline: one output beat per ``group`` input beats, the frame's rest included.

    ``beats``: input beats per frame; ``group`` restarts at each frame. Upsizer, ArgMax, Requant
    and the matrix-vector unit with a single row fold are all this.
    """

    def __init__(self, latency, group=1, beats=1):
        self._latency, self._group, self._beats = latency, group, beats

    def processes(self):
        clock = Clock(self._latency, self.o)
        return [self._run(clock), clock.emissions()]

    def _run(self, clock):
        valid, taken = self.i.valid, self.i.taken
        n = place = 0
        while True:
            if len(valid.at) <= n:
                yield valid, n
            issued = yield from clock.issue(valid.at[n])
            taken.put(issued)
            n, place = n + 1, place + 1
            if place == self._beats or place % self._group == 0:
                clock.emit()
            if place == self._beats:
                place = 0


class MatVecTiming(Stage):
    """The folded matrix-vector unit: ``nf`` passes over ``sf`` input beats per vector.

    With more than one pass the beats go through a buffer of two vectors whose ``ready`` depends
    only on how many slots are taken, not on the pipeline's clock enable.
    """

    def __init__(self, nf, sf, latency):
        self.nf, self.sf, self._latency = nf, sf, latency

    def processes(self):
        clock = Clock(self._latency, self.o)
        if self.nf == 1:
            return [self._straight(clock), clock.emissions()]
        freed = Times()  # cycles in which the buffer's slots become free
        return [self._load(freed), self._replay(clock, freed), clock.emissions()]

    def _straight(self, clock):
        n = 0
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            issued = yield from clock.issue(self.i.valid.at[n])
            self.i.taken.put(issued)
            n += 1
            if n % self.sf == 0:
                clock.emit()

    def _load(self, freed):
        n, previous, slots = 0, -1, 2 * self.sf
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            taken = max(self.i.valid.at[n], previous + 1)
            if n >= slots:
                if len(freed.at) <= n - slots:
                    yield freed, n - slots
                taken = max(taken, freed.at[n - slots] + 1)
            self.i.taken.put(taken)
            n, previous = n + 1, taken

    def _replay(self, clock, freed):
        n = 0
        while True:
            for _ in range(self.sf):
                if len(self.i.taken.at) <= n:
                    yield self.i.taken, n
                yield from clock.issue(self.i.taken.at[n])
                n += 1
            clock.emit()
            for fold in range(1, self.nf):
                for _ in range(self.sf):
                    t = yield from clock.issue(0)
                    if fold == self.nf - 1:
                        freed.put(t)
                clock.emit()


class DownsizerTiming(Stage):
    """Holds one beat and hands it on in ``ratio`` chunks; ``chunks`` per frame, padding dropped."""

    def __init__(self, ratio, chunks):
        self._ratio, self._chunks = ratio, chunks

    def processes(self):
        yield self._run()

    def _run(self):
        n = place = sent = free = 0
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            moment = max(self.i.valid.at[n], free)
            self.i.taken.put(moment)
            count = min(self._ratio, self._chunks - place)
            place = (place + count) % self._chunks
            for _ in range(count):
                self.o.valid.put(moment + 1)
                if len(self.o.taken.at) <= sent:
                    yield self.o.taken, sent
                moment = self.o.taken.at[sent]
                sent += 1
            free = moment  # of the last chunk's transfer: the next beat may enter
            n += 1


class Fifo(Stage):
    """``depth`` places (None: without bound), one register from input to output.

    ``ready`` is registered, so a place is reusable the cycle after it empties. A register slice
    is one of two places.
    """

    def __init__(self, depth):
        self.depth = depth

    def processes(self):
        yield self._run()

    def _run(self):
        n, previous, depth = 0, -1, self.depth
        valid, out = self.i.valid, self.o
        while True:
            if len(valid.at) <= n:
                yield valid, n
            taken = max(valid.at[n], previous + 1)
            if depth is not None and n >= depth:
                if len(out.taken.at) <= n - depth:
                    yield out.taken, n - depth
                taken = max(taken, out.taken.at[n - depth] + 1)
            self.i.taken.put(taken)
            out.valid.put(taken + 1)
            n, previous = n + 1, taken


class Fork(Stage):
    """Hands each beat to every output; each takes it when it can, then the next one enters."""

    def __init__(self, outputs):
        self._outputs = tuple(outputs)

    def processes(self):
        yield self._run()

    def _run(self):
        wires = [getattr(self, name) for name in self._outputs]
        n, previous = 0, -1
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            t = max(self.i.valid.at[n], previous + 1)
            for wire in wires:
                wire.valid.put(t)
            for wire in wires:
                if len(wire.taken.at) <= n:
                    yield wire.taken, n
                t = max(t, wire.taken.at[n])
            self.i.taken.put(t)
            n, previous = n + 1, t


class TapTiming(Stage):
    """Event model of :class:`TapWindow`."""

    def __init__(self, schedule, depth, latency):
        self._schedule, self._depth, self._latency = schedule, depth, latency

    def processes(self):
        clock = Clock(self._latency, self.o)
        done = Times()  # cycles in which a pixel's last tap is read
        return [self._write(done), self._read(clock, done), clock.emissions()]

    def _write(self, done):
        n, previous, pixel = 0, -1, 0
        ends = self._oldest()
        oldest = next(ends)
        while True:
            if len(self.i.valid.at) <= n:
                yield self.i.valid, n
            taken = max(self.i.valid.at[n], previous + 1)
            while n >= oldest + self._depth:
                oldest, pixel = next(ends), pixel + 1
            if pixel:
                if len(done.at) < pixel:
                    yield done, pixel - 1
                taken = max(taken, done.at[pixel - 1] + 1)
            self.i.taken.put(taken)
            n, previous = n + 1, taken

    def _oldest(self):
        start, pixels = 0, self._schedule.oldest().tolist()
        while True:
            yield from (start + p for p in pixels)
            start += self._schedule.beats_in

    def _read(self, clock, done):
        s, taken = self._schedule, self.i.taken
        g, folds, inner = s.geometry, s.folds, range(s.inner)
        pixels = g.indices().reshape(g.pixels, g.taps).tolist()
        start, t = 0, 0
        while True:
            if len(taken.at) <= start:
                yield taken, start
            begun = taken.at[start] + 1
            for taps in pixels:
                for group in range(s.groups):
                    for tap in taps:
                        first = start + tap * folds + group * s.inner
                        for fold in inner:
                            t, begun = begun, 0
                            if tap >= 0:
                                if len(taken.at) <= first + fold:
                                    yield taken, first + fold
                                t = taken.at[first + fold] + 1
                            t = yield from clock.issue(t)
                            clock.emit()
                done.put(t)
            start += s.beats_in


class PixelTiming(Stage):
    """Event model of :class:`PixelWindow`."""

    def __init__(self, schedule, latency):
        self._schedule, self._latency = schedule, latency

    def processes(self):
        clock = Clock(self._latency, self.o)
        return [self._run(clock), clock.emissions()]

    def _run(self, clock):
        s, gaps = self._schedule, self._schedule.gaps()
        valid, taken = self.i.valid, self.i.taken
        n = beat = out = owed = 0
        wait, tail = s.first, False
        while True:
            flush = tail and beat == 0
            if not flush and len(valid.at) <= n:
                yield valid, n
            t = yield from clock.issue(0 if flush else valid.at[n])
            fire = wait == 0
            if fire:
                clock.emit()
            if flush and len(valid.at) <= n:
                yield valid, n, t
            real = len(valid.at) > n and valid.at[n] <= t
            owed += not real
            wait -= 1
            if fire:
                wait = gaps[out] - 1
                out += 1
                if out == len(gaps):
                    wait, out, owed, tail = wait + owed, 0, 0, False
            if real:
                taken.put(t)
                n, beat = n + 1, beat + 1
                if beat == s.beats_in:
                    beat, tail = 0, s.tail > 0
