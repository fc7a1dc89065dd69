"""Which waveform format can be written here."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Literal

from codesign.builddir import BuildDir
from codesign.errors import ToolError, UsageError
from codesign.toolchain.verilator import Verilator

FST_HEADERS = {"lz4.h": "liblz4-dev", "zlib.h": "zlib1g-dev"}


def wave_format(tool: Verilator, waves: bool | Literal["fst", "vcd"]) -> tuple[str, str]:
    """("", "fst" or "vcd", note). ``ToolError`` when FST is asked for and cannot be built."""
    if waves is False:
        return "", ""
    if waves not in (True, "fst", "vcd"):
        raise UsageError(f"unknown waveform format {waves!r}", hint="use 'fst' or 'vcd'")
    if waves == "vcd":
        return "vcd", ""
    missing = [deb for header, deb in FST_HEADERS.items() if not _has(tool, header)]
    if not missing:
        return "fst", ""
    install = f"apt-get install {' '.join(missing)}"
    if waves == "fst":
        raise ToolError(
            "FST waveforms need the headers of " + " and ".join(missing),
            where="waves",
            hint=f"{install}; or ask for VCD, which needs nothing (and is larger)",
        )
    return "vcd", f"wrote VCD: FST needs {' and '.join(missing)} ({install})"


def _has(tool: Verilator, header: str) -> bool:
    """Whether the compiler finds ``header``."""
    command = [str(tool.cxx), "-E", "-x", "c++", "-include", header, "-o", "/dev/null", "/dev/null"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def wave_path(build: BuildDir, format: str) -> Path:
    """Where the waveform is kept."""
    return build.root / "sim" / f"dump.{format}"


def found_waves(build: BuildDir) -> str:
    """Where the waveform that was kept last is, how large, and how it would be smaller."""
    kept = [path for f in ("fst", "vcd") if (path := wave_path(build, f)).is_file()]
    if not kept:
        return "no waveform was kept"
    path = max(kept, key=lambda path: path.stat().st_mtime)
    text = f"waveforms: {path} ({path.stat().st_size / 1e6:,.1f} MB)"
    if path.suffix == ".vcd":
        text += (
            f"; as FST, many times smaller, after apt-get install {' '.join(FST_HEADERS.values())}"
        )
    return text
