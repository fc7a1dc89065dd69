"""Synthesis with native yosys: RTL text → netlist of device cells, hierarchy of layers kept.

How LUTs are counted: ``LUT4 + 2 CCU2C + 6 TRELLIS_DPR16X4``. A carry cell occupies the two LUTs
of its slice, a distributed RAM four for its data and two for its write port. This is the "Total
LUT4s" that nextpnr prints before packing. Packing adds four LUTs for each carry chain (its
feed-in and feed-out), so the placed number is larger: ``SynthReport.placed`` has it.
Wide multiplexers (PFUMX, L6MUX21) sit in the slice beside their LUTs and cost none.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codesign.errors import ToolError
from codesign.schema import Cost
from codesign.toolchain import cache, discover
from codesign.toolchain.process import run_logged, tail

TIMEOUT_S = 1800.0

#: Part of the cache key: raise it when what is done to the netlist after yosys changes.
REVISION = 2

#: Cost of one cell; cells not listed (PFUMX, L6MUX21, VHI, VLO) are free.
CELL_COST = {
    "LUT4": Cost(lut=1),
    "CCU2C": Cost(lut=2),
    "TRELLIS_DPR16X4": Cost(lut=6),
    "TRELLIS_FF": Cost(ff=1),
    "MULT18X18D": Cost(dsp=1),
    "DP16KD": Cost(bram=1),
}
FREE_CELLS = {"PFUMX", "L6MUX21", "VHI", "VLO", "GSR"}

#: Passes by family. ``synth_ecp5`` would map with abc9, which in yosys 0.70 fails an assertion on
#: networks with thousands of carry cells; plain abc without wide LUTs is twice as fast, takes
#: about 5 % more LUTs and gave a higher Fmax (124 against 107 MHz on a 64-32-16-10 network).
SYNTH = {
    "ecp5": [
        "synth_ecp5 -top {top} -run :map_luts",
        "abc -dress -lut 4",
        "clean",
        "synth_ecp5 -top {top} -run map_cells:",
    ]
}


@dataclass(frozen=True)
class Netlist:
    """A synthesised design: text for place and route, and what its modules cost.

    ``modules`` holds the cost of each kept module with everything below it.
    """

    json_text: str
    modules: dict[str, Cost]
    total: Cost
    key: str
    cached: bool


def synthesise_netlist(
    rtl: str,
    *,
    top: str,
    keep: Sequence[str],
    family: str,
    use_cache: bool = True,
    timeout_s: float = TIMEOUT_S,
    log: Path | None = None,
) -> Netlist:
    """Map ``rtl`` (Verilog text) to cells of ``family``; modules in ``keep`` stay separate.

    Only the hierarchy of ``keep`` remains: everything else is flattened into its parent. No
    optimisation crosses the boundary of a kept module; layers meet at registered streams, so
    little is lost, and the count of each layer is its own. ``log`` receives yosys' output.
    """
    tool = discover.find(discover.YOSYS)
    script = _script(top, family)
    names = sorted(set(keep))
    key = cache.digest("yosys", REVISION, tool.version, script, names, rtl)
    text = cache.load("netlist", key) if use_cache else None
    cached = text is not None
    if not isinstance(text, str):
        text = _run(rtl, script, names, timeout_s, log)
        if use_cache:
            cache.store("netlist", key, text)
    modules = json.loads(text)["modules"]
    costs = {name: module_cost(modules, name) for name in names if name in modules}
    return Netlist(text, costs, module_cost(modules, top), key, cached)


def _script(top: str, family: str) -> list[str]:
    """The yosys passes, one a string."""
    if family not in SYNTH:
        raise ToolError(f"no synthesis script for device family '{family}'")
    if not top.isidentifier():
        raise ToolError("the top module must be a plain identifier", where=repr(top))
    passes = [step.format(top=top) for step in SYNTH[family]]
    return ["read_verilog design.v", *passes, "write_json netlist.json"]


def _run(
    rtl: str, script: list[str], keep: Sequence[str], timeout_s: float, log: Path | None
) -> str:
    """Text of the netlist, from a yosys process in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="codesign-yosys-") as folder:
        work = Path(folder)
        (work / "design.v").write_text(rtl)
        output = log or work / "yosys.log"
        output.parent.mkdir(parents=True, exist_ok=True)
        status = run_logged(
            [sys.executable, "-m", "codesign.toolchain._yosys_worker"],
            what="yosys",
            cwd=work,
            log=output,
            timeout_s=timeout_s,
            stdin_text=json.dumps({"script": script, "keep": list(keep)}),
        )
        result = work / "netlist.json"
        if status != 0 or not result.exists():
            raise ToolError(f"yosys failed: {tail(output)}", where=str(output))
        return prune_carry_outs(result.read_text())


def prune_carry_outs(text: str) -> str:
    """``text`` with carry outputs nobody reads disconnected.

    nextpnr spends a slice (two LUTs) on leading every connected COUT at the end of a chain into
    the fabric, even when the wire ends there: a sixth of the LUTs of an unrolled network.
    """
    netlist = json.loads(text)
    for module in netlist["modules"].values():
        read = {bit for port in module["ports"].values() for bit in port["bits"]}
        for cell in module["cells"].values():
            outputs = cell.get("port_directions", {})
            for port, bits in cell["connections"].items():
                if outputs.get(port) != "output":
                    read.update(bits)
        for cell in module["cells"].values():
            if cell["type"] == "CCU2C" and not read & set(cell["connections"].get("COUT", [])):
                cell["connections"]["COUT"] = ["x"]
    return json.dumps(netlist)


def module_cost(modules: Mapping[str, Any], name: str) -> Cost:
    """Cost of module ``name`` of a yosys JSON netlist, with all modules below it.

    ``ToolError`` for a cell whose cost is unknown: nothing is counted as free by accident.
    """
    total = Cost()
    for cell in modules[name]["cells"].values():
        kind = cell["type"]
        if kind in CELL_COST:
            total += CELL_COST[kind]
        elif kind in modules and not _is_library(modules[kind]):
            total += module_cost(modules, kind)
        elif kind not in FREE_CELLS and not kind.startswith("$"):
            raise ToolError(f"the cost of cell type '{kind}' is unknown", where=name)
    return total


def _is_library(module: Mapping[str, Any]) -> bool:
    attributes = module["attributes"]
    return "blackbox" in attributes or "whitebox" in attributes
