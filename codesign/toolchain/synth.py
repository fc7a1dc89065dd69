"""``codesign synth``: what a build costs on a board, layer by layer, and how fast it runs."""

from __future__ import annotations

import time
from collections.abc import Callable

from codesign.builddir import BuildDir, while_reading
from codesign.errors import OverBudget
from codesign.evidence import SynthReport
from codesign.manifest import BoardInfo, Manifest
from codesign.schema import Cost
from codesign.toolchain import cache, discover, nextpnr
from codesign.toolchain.nextpnr import Placed
from codesign.toolchain.yosys import Netlist, synthesise_netlist

Progress = Callable[[str], None]

KINDS = {"lut": "LUTs", "ff": "flip-flops", "dsp": "multipliers", "bram": "block RAMs"}


@while_reading
def synthesise(
    build: BuildDir,
    *,
    board: BoardInfo,
    seed: int = 1,
    use_cache: bool = True,
    progress: Progress | None = None,
    place_and_route: bool = True,
) -> SynthReport:
    """Synthesise, place and route ``build`` for ``board``.

    Resources per layer and in total are counted after yosys; with ``place_and_route`` the report
    also has the placed resources, Fmax (MHz) and the critical path (ns). ``seed`` moves the
    placement. Logs go to ``synth/``. ``OverBudget`` when the design exceeds the board,
    ``ToolError`` when a tool is missing or fails. The caller writes ``reports/synth.json``.
    """
    tell = progress or (lambda _: None)
    began = time.monotonic()
    manifest = build.manifest
    rtl = "\n".join(path.read_text() for path in build.rtl_files())
    versions = _versions(board, place_and_route)
    tell("yosys: synthesis")
    netlist = synthesise_netlist(
        rtl,
        top=manifest.top,
        keep=[layer.module for layer in manifest.layers if layer.module],
        family=board.family,
        use_cache=use_cache,
        log=build.root / "synth" / "yosys.log",
    )
    check_budget(netlist.total, board)
    placed, placed_cached = None, True
    if place_and_route:
        placed, placed_cached = _place(build, netlist, board, seed, use_cache, tell)
    return SynthReport(
        per_layer=per_layer(manifest, netlist),
        total=netlist.total,
        capacity=board.capacity,
        fmax_mhz=placed.fmax_mhz if placed else None,
        critical_path=placed.critical_path if placed else None,
        placed=placed.used if placed else None,
        board=board.name,
        seed=seed,
        seconds=round(time.monotonic() - began, 2),
        cached=netlist.cached and placed_cached,
        rtl_hash=cache.digest(rtl),
        versions=versions,
    )


def _versions(board: BoardInfo, routed: bool) -> dict[str, str]:
    """Versions of the tools; raises early when one is missing."""
    tools = [discover.find(discover.YOSYS)]
    if routed:
        tools.append(discover.find_nextpnr(board.family))
    return {tool.package: tool.version for tool in tools}


def _place(
    build: BuildDir, netlist: Netlist, board: BoardInfo, seed: int, use_cache: bool, tell: Progress
) -> tuple[Placed, bool]:
    """Placed design, and whether it came from the cache."""
    version = discover.find_nextpnr(board.family).version
    key = cache.digest("nextpnr", version, netlist.key, nextpnr.arguments(board, seed))
    if use_cache and isinstance(stored := cache.load("placed", key), dict):
        return Placed.from_json(stored), True
    log, top = build.root / "synth" / "nextpnr.log", build.manifest.top
    placed = nextpnr.place_and_route(
        netlist.json_text, board, top=top, seed=seed, log=log, progress=tell
    )
    if use_cache:
        cache.store("placed", key, placed.as_json())
    return placed, False


def per_layer(manifest: Manifest, netlist: Netlist) -> dict[str, Cost]:
    """Cost of each layer that has a module, by layer name."""
    return {
        layer.name: netlist.modules[layer.module]
        for layer in manifest.layers
        if layer.module in netlist.modules
    }


def check_budget(total: Cost, board: BoardInfo) -> None:
    """``OverBudget`` naming every resource that ``total`` exceeds, and by how much."""
    over = []
    for field, words in KINDS.items():
        used, have = getattr(total, field), getattr(board.capacity, field)
        if used > have:
            percent = f" ({100 * (used - have) / have:.0f} % too many)" if have else ""
            over.append(f"{used:,} {words} of {have:,}{percent}")
    if over:
        raise OverBudget(
            f"the design needs {' and '.join(over)}",
            where=f"board {board.name}",
            hint="generate again with a larger --target-ii, or for a larger board",
        )
