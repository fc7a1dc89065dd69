"""Place and route with nextpnr (a WebAssembly wheel) in a shift-register harness, true timing.

A network has hundreds of stream wires, more than a package has pins, so the design goes into the
harness of :mod:`codesign.toolchain.harness`; its cells are subtracted from the result. nextpnr's
``--out-of-context`` also works and times the same paths, but does without a global clock. Measured,
out of context / harness: 124.3 / 123.4 MHz (2.8k LUTs), 71.2 / 75.5 MHz (20k LUTs), the same LUT
and flip-flop counts to the last one. router2 and other placer settings gave less or no gain.
Every port of ``codesign_top`` is registered, so the paths between registers are all there are.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codesign.errors import OverBudget, ToolError
from codesign.evidence import CriticalPath
from codesign.manifest import BoardInfo
from codesign.schema import Cost
from codesign.toolchain import discover
from codesign.toolchain.harness import wrap
from codesign.toolchain.process import run_logged, tail

TIMEOUT_S = 3600.0
NOTHING = Cost()  # no harness

#: nextpnr's flag for a device name.
DEVICE_FLAG = {
    "LFE5U-12F": "--12k",
    "LFE5U-25F": "--25k",
    "LFE5U-45F": "--45k",
    "LFE5U-85F": "--85k",
    "LFE5UM-25F": "--um-25k",
    "LFE5UM-45F": "--um-45k",
    "LFE5UM-85F": "--um-85k",
    "LFE5UM5G-25F": "--um5g-25k",
    "LFE5UM5G-45F": "--um5g-45k",
    "LFE5UM5G-85F": "--um5g-85k",
}

#: Lines of nextpnr's log worth telling, and how to say them.
PHASES = {
    "Preparing to run": "nextpnr: first run on this machine, compiling it takes about a minute",
    "Running HeAP": "nextpnr: placing",
    "Running simulated annealing": "nextpnr: refining the placement",
    "Routing..": "nextpnr: routing",
}

#: yosys' autoname appends these to the name of the wire a cell drives.
CELL_SUFFIX = re.compile(
    r"_(TRELLIS_FF|TRELLIS_DPR16X4|LUT4|CCU2C|PFUMX|L6MUX21|MULT18X18D|DP16KD)(_[A-Z].*)?(\$.*)?$"
)


@dataclass(frozen=True)
class Placed:
    """Result of place and route. ``fmax_mhz`` is None without a path between registers."""

    used: Cost
    available: Cost
    fmax_mhz: float | None
    critical_path: CriticalPath | None

    def as_json(self) -> dict[str, Any]:
        """Plain data for the cache."""
        path = self.critical_path
        return {
            "used": self.used.model_dump(),
            "available": self.available.model_dump(),
            "fmax_mhz": self.fmax_mhz,
            "critical_path": path.model_dump() if path else None,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Placed:
        """Inverse of :meth:`as_json`."""
        path = data["critical_path"]
        return Placed(
            Cost(**data["used"]),
            Cost(**data["available"]),
            data["fmax_mhz"],
            CriticalPath(**path) if path else None,
        )


def arguments(board: BoardInfo, seed: int) -> list[str]:
    """Command line of nextpnr for ``board``, files aside."""
    if board.device not in DEVICE_FLAG:
        raise ToolError(f"nextpnr has no device '{board.device}'", where=f"board {board.name}")
    return [
        DEVICE_FLAG[board.device],
        *("--package", board.package),
        *("--speed", board.speed),
        *("--seed", str(seed)),
        *("--freq", f"{board.clock_mhz:g}"),
        "--timing-allow-fail",
        "--lpf-allow-unconstrained",
    ]


def place_and_route(
    netlist: str,
    board: BoardInfo,
    *,
    top: str,
    clock: str = "aclk",
    seed: int = 1,
    timeout_s: float = TIMEOUT_S,
    log: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Placed:
    """Place and route a yosys JSON netlist (text); times in the report are worst case.

    ``top`` is its top module, ``clock`` the only port that becomes a pin.
    ``OverBudget`` when it does not fit, ``ToolError`` when nextpnr fails otherwise.
    """
    discover.find_nextpnr(board.family)
    with tempfile.TemporaryDirectory(prefix="codesign-nextpnr-") as folder:
        work = Path(folder)
        design = json.loads(netlist)
        added = wrap(design, top, clock)
        (work / "netlist.json").write_text(json.dumps(design))
        output = log or work / "nextpnr.log"
        output.parent.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "codesign.toolchain._nextpnr_worker", board.family]
        argv += [*arguments(board, seed), "--json", "netlist.json", "--report", "report.json"]
        status = run_logged(
            argv,
            what="nextpnr",
            cwd=work,
            log=output,
            timeout_s=timeout_s,
            on_line=lambda line: _tell(line, progress),
        )
        if status != 0:
            raise _failure(output, board)
        return parse_report(json.loads((work / "report.json").read_text()), added)


def _tell(line: str, progress: Callable[[str], None]) -> None:
    for marker, message in PHASES.items():
        if marker in line:
            progress(message)


def _failure(log: Path, board: BoardInfo) -> Exception:
    """The error that nextpnr's log describes."""
    message = tail(log)
    if re.search(r"no Bels remaining|no BELs|[Uu]nable to (find|place)|cannot be placed", message):
        return OverBudget(
            f"the design does not fit {board.name}: {message}",
            where=str(log),
            hint="generate again with a larger --target-ii",
        )
    return ToolError(f"nextpnr failed: {message}", where=str(log))


def parse_report(report: dict[str, Any], added: Cost = NOTHING) -> Placed:
    """What nextpnr's ``--report`` file says, less what was ``added`` around the design."""
    cells = report["utilization"]

    def cost(field: str) -> Cost:
        def count(cell: str) -> int:
            return int(cells.get(cell, {}).get(field, 0))

        used = field == "used"
        return Cost(
            lut=count("TRELLIS_COMB") + used * (2 * count("TRELLIS_RAMW") - added.lut),
            ff=count("TRELLIS_FF") - used * added.ff,
            dsp=count("MULT18X18D"),
            bram=count("DP16KD"),
        )

    clocks = [clock["achieved"] for clock in report["fmax"].values()]
    return Placed(
        cost("used"),
        cost("available"),
        round(min(clocks), 2) if clocks else None,
        _critical_path(report["critical_paths"]),
    )


def _critical_path(paths: list[dict[str, Any]]) -> CriticalPath | None:
    """The slowest path between two registers of one clock."""
    synchronous = [p for p in paths if p["from"] == p["to"] and "edge" in p["from"]]
    if not synchronous:
        return None
    steps = max(synchronous, key=_delay)["path"]
    return CriticalPath(
        start=readable(steps[0]["from"]["cell"]),
        end=readable(steps[-1]["to"]["cell"]),
        delay_ns=round(sum(s["delay"] for s in steps), 3),
        hops=hops(steps),
    )


def _delay(path: dict[str, Any]) -> float:
    return float(sum(step["delay"] for step in path["path"]))


def hops(steps: list[dict[str, Any]]) -> list[str]:
    """One line for each named thing on the path: its logic delay and the routing into it."""
    rows: list[tuple[str, float, float, int]] = []
    for step in steps:
        routing = step["type"] == "routing"
        name = readable(step["to" if routing else "from"]["cell"])
        wire, logic = (step["delay"], 0.0) if routing else (0.0, step["delay"])
        if rows and rows[-1][0] == name:
            old = rows.pop()
            rows.append((name, old[1] + wire, old[2] + logic, old[3] + (not routing)))
        else:
            rows.append((name, wire, logic, int(not routing)))
    return [_hop(*row) for row in rows]


def _hop(name: str, wire: float, logic: float, cells: int) -> str:
    count = f" ({cells} cells)" if cells > 1 else ""
    return f"{name}{count}: routing {wire:.2f} ns, logic {logic:.2f} ns"


def readable(cell: str) -> str:
    """A cell's name without what yosys and nextpnr appended: the wire it drives."""
    while True:
        shorter = CELL_SUFFIX.sub("", cell, count=1)
        if shorter == cell:
            return cell
        cell = shorter
