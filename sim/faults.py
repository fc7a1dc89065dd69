"""Puts a fault into a *copy* of a build folder, to prove that verification notices.

The stream faults rename the top module of the copy and put a wrapper with the fault around it,
so they work on any design that keeps the contract of the emitted top. Faults in weights,
thresholds and rounding are injected in the integer graph instead.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from codesign.builddir import BuildDir
from codesign.errors import UsageError
from codesign.manifest import Manifest
from codesign.sim.hierarchy import checked_identifier

INNER = "fault_inner"


def copy_build(build: BuildDir, target: Path) -> BuildDir:
    """A copy of what simulation reads (manifest and RTL); ``UsageError`` when target exists."""
    if target.exists():
        raise UsageError("the copy's folder exists already", where=str(target))
    (target / "rtl").mkdir(parents=True)
    for path in build.rtl_files():
        shutil.copyfile(path, target / "rtl" / path.name)
    copy = BuildDir(target)
    copy.write("manifest.json", build.manifest)
    return copy


def drop_stall(build: BuildDir, target: Path) -> BuildDir:
    """The output ignores ``m_axis_tready``: what is not taken is lost."""
    return _wrapped(build, target, {"m_axis_tready": "1'b1"}, "")


def swap_output_lanes(build: BuildDir, target: Path, first: int = 0, second: int = 1) -> BuildDir:
    """Two lanes of the output change places."""
    port = build.manifest.output
    if not 0 <= first < second < port.lanes:
        raise UsageError(f"the output has {port.lanes} lanes", where=f"lanes {first}, {second}")
    lanes = list(range(port.lanes))
    lanes[first], lanes[second] = second, first
    parts = [f"inner_tdata[{k * port.bits} +: {port.bits}]" for k in reversed(lanes)]
    used = port.lanes * port.bits
    if port.data_bits > used:
        parts.insert(0, f"inner_tdata[{port.data_bits - 1}:{used}]")
    body = (
        f"  wire [{port.data_bits - 1}:0] inner_tdata;\n"
        f"  assign m_axis_tdata = {{{', '.join(parts)}}};\n"
    )
    return _wrapped(build, target, {"m_axis_tdata": "inner_tdata"}, body)


def flip_output_bit(build: BuildDir, target: Path, bit: int = 0) -> BuildDir:
    """One bit of the output's data is inverted."""
    bits = build.manifest.output.data_bits
    if not 0 <= bit < build.manifest.output.lanes * build.manifest.output.bits:
        raise UsageError(f"the output has no bit {bit}", where="m_axis_tdata")
    body = (
        f"  wire [{bits - 1}:0] inner_tdata;\n"
        f"  assign m_axis_tdata = inner_tdata ^ ({bits}'d1 << {bit});\n"
    )
    return _wrapped(build, target, {"m_axis_tdata": "inner_tdata"}, body)


def wrong_tlast(build: BuildDir, target: Path) -> BuildDir:
    """``m_axis_tlast`` is inverted."""
    body = "  wire inner_tlast;\n  assign m_axis_tlast = ~inner_tlast;\n"
    return _wrapped(build, target, {"m_axis_tlast": "inner_tlast"}, body)


def hang(build: BuildDir, target: Path, after: int = 3) -> BuildDir:
    """The input is never accepted again after some beats."""
    body = (
        "  reg [31:0] beats = 0;\n  wire inner_tready;\n"
        f"  wire stuck = beats >= {after};\n"
        "  assign s_axis_tready = inner_tready & ~stuck;\n"
        "  always @(posedge aclk)\n"
        "    if (~aresetn) beats <= 0;\n"
        "    else if (s_axis_tvalid & s_axis_tready) beats <= beats + 1;\n"
    )
    changes = {"s_axis_tready": "inner_tready", "s_axis_tvalid": "s_axis_tvalid & ~stuck"}
    return _wrapped(build, target, changes, body)


def ignore_reset(build: BuildDir, target: Path) -> BuildDir:
    """Only the first reset after power-up reaches the circuit; later ones are lost."""
    body = "  reg used = 0;\n  always @(posedge aclk) if (aresetn & s_axis_tvalid) used <= 1;\n"
    return _wrapped(build, target, {"aresetn": "aresetn | used"}, body)


def wrong_cycles(build: BuildDir, target: Path, *, latency: int = 0, ii: int = 0) -> BuildDir:
    """The manifest promises other cycles than the circuit keeps (added to the true ones)."""
    copy, manifest = copy_build(build, target), build.manifest
    changes = {"latency": manifest.latency + latency, "ii": manifest.ii + ii}
    copy.write("manifest.json", manifest.model_copy(update=changes))
    return copy


STREAM_FAULTS: dict[str, Callable[[BuildDir, Path], BuildDir]] = {
    "drop_stall": drop_stall,
    "swap_output_lanes": swap_output_lanes,
    "flip_output_bit": flip_output_bit,
    "wrong_tlast": wrong_tlast,
    "hang": hang,
    "ignore_reset": ignore_reset,
}
"""Faults that need no more than a build folder, by name."""


def _wrapped(build: BuildDir, target: Path, connections: dict[str, str], body: str) -> BuildDir:
    """A copy whose top is renamed and wrapped; ``connections`` replaces expressions at ports."""
    copy, manifest = copy_build(build, target), build.manifest
    top = checked_identifier(manifest.top, "manifest.json: top")
    renamed = sum(_rename_module(path, top) for path in copy.rtl_files())
    if renamed != 1:
        raise UsageError(f"module '{top}' is defined {renamed} times", where=str(build.root))
    (copy.root / "rtl" / "fault.v").write_text(_wrapper(manifest, connections, body))
    taps = [tap.model_copy(update={"path": ["inner", *tap.path]}) for tap in manifest.taps]
    changed = manifest.model_copy(update={"rtl": [*manifest.rtl, "fault.v"], "taps": taps})
    copy.write("manifest.json", changed)
    return copy


def _rename_module(path: Path, top: str) -> int:
    """Rename the definition of module ``top`` in a file; how many were found."""
    text, count = re.subn(
        rf"^(\s*module\s+){top}\b", rf"\g<1>{INNER}", path.read_text(), flags=re.M
    )
    path.write_text(text)
    return count


def _wrapper(manifest: Manifest, connections: dict[str, str], body: str) -> str:
    """Verilog of a module with the top's name and ports around the renamed one."""
    wide = {"s_axis_tdata": manifest.input.data_bits, "m_axis_tdata": manifest.output.data_bits}
    inputs = ("aclk", "aresetn", "s_axis_tdata", "s_axis_tvalid", "s_axis_tlast", "m_axis_tready")
    outputs = ("s_axis_tready", "m_axis_tdata", "m_axis_tvalid", "m_axis_tlast")

    def declare(kind: str, name: str) -> str:
        return f"  {kind} wire " + (f"[{wide[name] - 1}:0] " if name in wide else "") + name

    ports = [*(declare("input", n) for n in inputs), *(declare("output", n) for n in outputs)]
    joined = ", ".join(f".{n}({connections.get(n, n)})" for n in (*inputs, *outputs))
    return (
        f"module {manifest.top}(\n" + ",\n".join(ports) + f"\n);\n{body}"
        f"  {INNER} inner ({joined});\nendmodule\n"
    )
