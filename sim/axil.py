"""An AXI4-Lite manager for cocotb: loads the weights of a design that has registers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from codesign.sim.hierarchy import AXIL_INPUTS

#: Cycles an answer may take.
PATIENCE = 1000
OKAY = 0


class AxiLite:
    """The ports ``s_axil_*`` of ``dut``; one access at a time."""

    def __init__(self, dut: Any, edge: Any) -> None:
        self._dut, self._edge = dut, edge

    def _put(self, **values: int) -> None:
        for name, value in values.items():
            getattr(self._dut, f"s_axil_{name}").value = value

    def _get(self, name: str) -> int:
        return int(getattr(self._dut, f"s_axil_{name}").value)

    def silent(self) -> None:
        """No request, no answer taken."""
        self._put(**dict.fromkeys(AXIL_INPUTS, 0))

    async def write(self, address: int, data: int, strobes: int = 15) -> int:
        """Write one word; the response."""
        self._put(awaddr=address, awvalid=1, wdata=data, wstrb=strobes, wvalid=1, bready=1)
        for _ in range(PATIENCE):
            await self._edge  # values read here are those before the edge
            if self._get("awready"):
                self._put(awvalid=0)
            if self._get("wready"):
                self._put(wvalid=0)
            if self._get("bvalid"):
                response = self._get("bresp")
                self._put(bready=0)
                return response
        raise AssertionError(f"AXI4-Lite: no answer to the write at {address:#x}")

    async def read(self, address: int) -> tuple[int, int]:
        """Read one word: (data, response)."""
        self._put(araddr=address, arvalid=1, rready=1)
        for _ in range(PATIENCE):
            await self._edge
            if self._get("arready"):
                self._put(arvalid=0)
            if self._get("rvalid"):
                found = self._get("rdata"), self._get("rresp")
                self._put(rready=0)
                return found
        raise AssertionError(f"AXI4-Lite: no answer to the read at {address:#x}")

    async def load(self, writes: Sequence[tuple[int, int]]) -> None:
        """Write everything, read everything back."""
        for address, data in writes:
            response = await self.write(address, data)
            assert response == OKAY, f"AXI4-Lite: the write at {address:#x} answered {response}"
        for address, data in writes:
            found, response = await self.read(address)
            assert (found, response) == (data, OKAY), (
                f"AXI4-Lite: {address:#x} reads {found:#x}, written {data:#x} ({response})"
            )
