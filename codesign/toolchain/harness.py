"""A design with hundreds of wires on a package with fewer pins: shift registers around it.

The netlist's input ports are driven by one shift register, its output ports are folded into
another (each stage takes the exclusive or of its neighbour and one output bit), so only a
clock, a serial input and a serial output are pins. Nothing can be optimised away, the clock is
a global net as on a real board, and each path of the harness is a single LUT or wire between
two registers. What it adds is known exactly and is subtracted again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from codesign.errors import ToolError
from codesign.schema import Cost

XOR = "0110" * 4
FLIP_FLOP = {
    "GSR": "DISABLED",
    "SRMODE": "LSR_OVER_CE",
    "REGSET": "RESET",
    "CEMUX": "1 ",  # a string of bits needs the blank, or it is read as a number
    "CLKMUX": "CLK",
    "LSRMUX": "LSR",
}
PREFIX = "codesign_harness"


def wrap(netlist: dict[str, Any], top: str, clock: str = "aclk") -> Cost:
    """Put the harness into module ``top`` of a yosys JSON ``netlist``; what it costs.

    ``clock`` is the port that stays a pin. ``ToolError`` when there is no such port.
    """
    module = netlist["modules"][top]
    ports = module["ports"]
    if clock not in ports:
        raise ToolError(f"the top module has no clock port '{clock}'", where=top)
    clk = ports[clock]["bits"][0]
    inputs = _bits(p for name, p in ports.items() if p["direction"] == "input" and name != clock)
    outputs = _bits(p for p in ports.values() if p["direction"] == "output")
    fresh = 1 + _largest_bit(module)
    serial_in, fresh = fresh, fresh + 1
    cells, previous = module["cells"], serial_in
    for index, bit in enumerate(inputs):
        cells[f"{PREFIX}_in{index}"] = _cell("TRELLIS_FF", CLK=clk, DI=previous, Q=bit)
        previous = bit
    for index, bit in enumerate(outputs):
        mixed, stored, fresh = fresh, fresh + 1, fresh + 2
        cells[f"{PREFIX}_xor{index}"] = _cell("LUT4", A=previous, B=bit, Z=mixed)
        cells[f"{PREFIX}_out{index}"] = _cell("TRELLIS_FF", CLK=clk, DI=mixed, Q=stored)
        previous = stored
    module["ports"] = {
        clock: {"direction": "input", "bits": [clk]},
        f"{PREFIX}_si": {"direction": "input", "bits": [serial_in]},
        f"{PREFIX}_so": {"direction": "output", "bits": [previous]},
    }
    return Cost(lut=len(outputs), ff=len(inputs) + len(outputs))


def _bits(ports: Iterable[dict[str, Any]]) -> list[int]:
    """The wires of ``ports``, each once, without constants."""
    found = [bit for port in ports for bit in port["bits"] if isinstance(bit, int)]
    return list(dict.fromkeys(found))


def _largest_bit(module: dict[str, Any]) -> int:
    """The largest wire number in use."""
    groups = [port["bits"] for port in module["ports"].values()]
    groups += [bits for cell in module["cells"].values() for bits in cell["connections"].values()]
    groups += [name["bits"] for name in module["netnames"].values()]
    return max(bit for bits in groups for bit in bits if isinstance(bit, int))


def _cell(kind: str, **wires: int) -> dict[str, Any]:
    """A flip-flop or an exclusive or in yosys' JSON."""
    outputs = ("Q", "Z")
    connections: dict[str, list[int | str]] = {port: [bit] for port, bit in wires.items()}
    connections |= {"C": ["0"], "D": ["0"]} if kind == "LUT4" else {"LSR": ["0"]}
    return {
        "type": kind,
        "parameters": dict(FLIP_FLOP) if kind == "TRELLIS_FF" else {"INIT": XOR},
        "attributes": {},
        "port_directions": {p: "output" if p in outputs else "input" for p in connections},
        "connections": connections,
    }
