"""Between codes of spikes and the address events that carry them, vectorised."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from codesign.evidence import Mismatch
from codesign.manifest import Port
from codesign.sim import packing


def pack_events(codes: NDArray, port: Port) -> tuple[packing.Words, NDArray[np.int64]]:
    """Beats uint32 [beats, words] of spikes [n, elements], as the AXI4-Stream carries them, and
    behind which of them each frame ends, int64 [n]."""
    events = port.events
    assert events is not None
    flat = packing.check_codes(codes, port)
    steps = flat.reshape(len(flat) * events.steps, -1)
    step, address = np.nonzero(steps)
    count = steps[step, address] if events.count_bits() else np.zeros(len(step), np.int64)
    ends = np.cumsum(np.bincount(step, minlength=len(steps)) + 1)  # beats up to each step's end
    value = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint64)
    mark = port.address_bits + events.count_bits()
    place = np.arange(len(step)) + step  # every step before it has ended with one beat
    value[place] = (address | count << port.address_bits).astype(np.uint64)
    value[ends - 1] = np.uint64(1 << mark)
    words = packing.words_per_beat(port)
    halves = [value & np.uint64(0xFFFFFFFF), value >> np.uint64(32)]
    packed = np.stack(halves[:words], axis=1).astype(np.uint32)
    return np.ascontiguousarray(packed), ends[events.steps - 1 :: events.steps]


@dataclass
class EventRecord:
    """Beats seen on a stream of events, as the simulator's own strings of binary digits; as
    :class:`~codesign.sim.record.Record`, for streams without ``ahead``.

    The events of each step are added up, in whatever order they came, and compared.
    """

    port: Port
    codes: NDArray
    payload_last: bool = True
    ahead: int = 0
    alike: bool = True
    seen: list[str] = field(default_factory=list)
    lasts: list[str] = field(default_factory=list)

    def first_mismatch(self, frames: NDArray, against: str) -> Mismatch | None:
        """The first step that differs from ``frames``, or a beat that is missing or too many."""
        events = self.port.events
        assert events is not None
        want = self.codes[frames].reshape(len(frames) * events.steps, -1)
        now, step = np.zeros(want.shape[1], np.int64), 0
        for digits in self.seen:
            address, count, end, last = self._fields(digits)
            if step >= len(want):
                return self._mismatch(step, 0, 0, 0, f"{against}: a beat beyond the last frame")
            if not end:
                if address >= len(now):
                    return self._mismatch(step, 0, 0, address, f"{against}: no such address")
                now[address] += count
                continue
            bad = np.flatnonzero(now != want[step])
            if bad.size:
                index = int(bad[0])
                values = int(want[step, index]), int(now[index])
                return self._mismatch(step, index, *values, against)
            step += 1
            final = int(step % events.steps == 0)
            if last != final:
                return self._mismatch(step - 1, 0, final, last, f"{against}: tlast is wrong")
            now = np.zeros_like(now)
        if step < len(want):
            return self._mismatch(step, 0, 1, 0, f"{against}: the beat is missing")
        return None

    def _fields(self, digits: str) -> tuple[int, int, int, int]:
        """(address, count, end of step, last) of a payload."""
        events = self.port.events
        assert events is not None
        value, low, bits = int(digits, 2), self.port.address_bits, events.count_bits()
        count = value >> low & ((1 << bits) - 1) if bits else 1
        mark = value >> (low + bits)
        return value & ((1 << low) - 1), count, mark & 1, mark >> 1 & 1

    def _mismatch(self, step: int, index: int, want: int, got: int, against: str) -> Mismatch:
        events = self.port.events
        assert events is not None
        frame, within = divmod(step, events.steps)
        return Mismatch(
            tensor=self.port.tensor,
            frame=frame,
            index=within * (self.port.elements // events.steps) + index,
            expected=want,
            actual=got,
            against=against,
        )
