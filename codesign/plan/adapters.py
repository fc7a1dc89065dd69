"""What stands between the stream that comes and the stream that a layer takes."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING, Any

from codesign.ir import Value
from codesign.ir.plan import Dense, Form
from codesign.ops.area import adapter_cost, pack_cost, scan_cost
from codesign.ops.event_op import elements_of_step
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

    from codesign.spikes.arrivals import Arrivals


@dataclass(frozen=True)
class Adapter:
    """Makes ``wanted`` of ``value`` that travels as ``given``: other lanes, a scan of ``lanes``
    spikes a cycle that finds the events, or beats packed of events. Nothing where both are the
    same."""

    value: Value
    given: Form
    wanted: Form
    lanes: int

    @property
    def scans(self) -> bool:
        """Whether dense spikes become events."""
        return isinstance(self.given, Dense) and not isinstance(self.wanted, Dense)

    @property
    def packs(self) -> bool:
        """Whether events become dense spikes."""
        return isinstance(self.wanted, Dense) and not isinstance(self.given, Dense)

    @property
    def _width(self) -> tuple[int, int]:
        """Lanes before and behind the width adapter; the same where there is none."""
        given = self.given.lanes if isinstance(self.given, Dense) else self._packed
        if isinstance(self.wanted, Dense):
            return given, self.wanted.lanes
        return (given, self.lanes) if self.scans else (0, 0)

    @property
    def _packed(self) -> int:
        """Lanes that events are packed into: a beat holds elements of one step."""
        wanted = self.wanted.lanes if isinstance(self.wanted, Dense) else 0
        return gcd(elements_of_step(self.value), wanted)

    def parts(self) -> dict[str, Component]:
        """The components, in a row.

        A register slice stands before a scan: whether a beat holds another spike is known late,
        and must not decide in the same cycle what the layers before it do.
        """
        from codesign.hdl.register_slice import RegisterSlice
        from codesign.hdl.spikes.pack import SpikePack
        from codesign.hdl.width_adapter import width_adapter

        found: dict[str, Component] = {}
        (a, b), format = self._width, self.value.format
        if self.packs:
            found["pack"] = SpikePack(*self._step, a, format.hi)
        if a != b:
            found["width"] = width_adapter(format.lo, format.hi, self.value.elements, a, b)
        if self.scans:
            scan = self._scan()
            found["slice"] = RegisterSlice(scan.i.payload.shape())
            found["scan"] = scan
        return found

    def stages(self, came: Arrivals | None) -> list[Any]:
        """Their event models, for the events of the value; ``came`` may be None where there are
        neither scan nor pack."""
        from codesign.hdl.spikes.pack import PackTiming
        from codesign.hdl.spikes.scan import ScanTiming
        from codesign.hdl.timing import Fifo, width_adapter_timing

        a, b = self._width
        found: list[Any] = []
        if self.packs:
            assert came is not None
            found.append(PackTiming(came.words(self._step[0], a)))
        found += width_adapter_timing(self.value.elements, a, b) if a != b else []
        if self.scans:
            assert came is not None
            found += [Fifo(2), ScanTiming(came.words(self._step[0], b))]
        return found

    def cost(self) -> Cost:
        """Estimated resources."""
        (a, b), bits = self._width, self.value.format.bits
        total = adapter_cost(bits, a, b) if a != b else Cost()
        if self.packs:
            total = total + pack_cost(self._step[0], a, bits)
        if self.scans:
            total = total + scan_cost(self._step[0], b, bits)
        return total

    @property
    def _step(self) -> tuple[int, int]:
        """Elements of a step, and steps."""
        return elements_of_step(self.value), self.value.shape[0]

    def _scan(self) -> Any:
        from codesign.hdl.spikes.scan import SpikeScan

        return SpikeScan(*self._step, self.lanes, self.value.format.hi)
