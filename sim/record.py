"""What a cocotb monitor recorded of one stream, compared with what was expected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from codesign.evidence import Mismatch
from codesign.manifest import Port
from codesign.sim import packing
from codesign.sim.events import EventRecord


@dataclass
class Record:
    """Beats seen on one stream, as the simulator's own strings of binary digits.

    Comparing happens after the run, list against list: the fastest way in Python.
    ``payload_last``: the bit above the data is ``last``. ``ahead``: so many further frames
    may have begun, see :class:`~codesign.builddir.Tap`; all ``alike``, or with what the last
    frame left, which no frame is there to say.
    """

    port: Port
    codes: NDArray
    payload_last: bool
    ahead: int = 0
    alike: bool = True
    seen: list[str] = field(default_factory=list)
    lasts: list[str] = field(default_factory=list)

    def expected(self, frames: NDArray) -> tuple[list[str], list[str]]:
        """(data, last) of every beat of ``frames`` (indices into the codes)."""
        unique, back = np.unique(frames, return_inverse=True)
        packed = packing.pack(self.codes[unique], self.port)[back]
        data = packing.as_bitstrings(packed, self.port.lanes * self.port.bits)
        lasts = (["0"] * (self.port.beats - 1) + ["1"]) * len(frames)
        return data, lasts

    def first_mismatch(self, frames: NDArray, against: str) -> Mismatch | None:
        """The first beat that differs from ``frames``, or that is missing or too many."""
        data, lasts = self._split()
        want, want_lasts = self.expected(frames)
        more = len(data) - len(want)
        if 0 < more < self.ahead * self.port.beats:
            if not self.alike:
                data, lasts = data[: len(want)], lasts[: len(want)]
                return self._first(data, lasts, want, want_lasts, against)
            like = np.repeat(frames[-1:] if len(frames) else np.zeros(1, int), self.ahead)
            again, lasts_again = self.expected(like)
            want, want_lasts = want + again[:more], want_lasts + lasts_again[:more]
        return self._first(data, lasts, want, want_lasts, against)

    def _first(
        self,
        data: list[str],
        lasts: list[str],
        want: list[str],
        want_lasts: list[str],
        against: str,
    ) -> Mismatch | None:
        if data == want and lasts == want_lasts:
            return None
        for k in range(max(len(data), len(want))):
            found = self._compare(k, data, lasts, want, want_lasts, against)
            if found is not None:
                return found
        return None

    def _split(self) -> tuple[list[str], list[str]]:
        """Data digits (padding lanes zeroed) and last of the beats seen."""
        width = self.port.lanes * self.port.bits
        data = [s[-width:] for s in self.seen]
        lasts = [s[-width - 1] for s in self.seen] if self.payload_last else self.lasts
        used = (self.port.elements - (self.port.beats - 1) * self.port.lanes) * self.port.bits
        if used < width:
            zeros = "0" * (width - used)
            for k in range(self.port.beats - 1, len(data), self.port.beats):
                data[k] = zeros + data[k][-used:]
        return data, lasts

    def _compare(
        self,
        beat: int,
        data: list[str],
        lasts: list[str],
        want: list[str],
        want_lasts: list[str],
        against: str,
    ) -> Mismatch | None:
        """The difference at ``beat``, if any."""
        frame, within = divmod(beat, self.port.beats)
        index = within * self.port.lanes
        if beat >= len(want):
            return self._mismatch(frame, 0, 0, 0, f"{against}: a beat beyond the last frame")
        if beat >= len(data):
            return self._mismatch(frame, index, 1, 0, f"{against}: the beat is missing")
        for lane in range(min(self.port.lanes, self.port.elements - index)):
            codes = [packing.code_in(s, lane, self.port) for s in (want[beat], data[beat])]
            if codes[0] != codes[1]:
                return self._mismatch(frame, index + lane, codes[0], codes[1], against)
        if lasts[beat] != want_lasts[beat]:
            end = min(index + self.port.lanes, self.port.elements) - 1
            values = int(want_lasts[beat]), int(lasts[beat])
            return self._mismatch(frame, end, *values, f"{against}: tlast is wrong")
        return None

    def _mismatch(
        self, frame: int, index: int, expected: int, actual: int, against: str
    ) -> Mismatch:
        return Mismatch(
            tensor=self.port.tensor,
            frame=frame,
            index=index,
            expected=expected,
            actual=actual,
            against=against,
        )


def earliest(
    records: Iterable[Record | EventRecord], frames: NDArray, against: str
) -> Mismatch | None:
    """The first mismatch of all streams: lowest frame, then manifest order."""
    found = [m for r in records if (m := r.first_mismatch(frames, against)) is not None]
    return min(found, key=lambda m: m.frame, default=None)
