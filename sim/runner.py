"""Runs the cocotb bench on a build folder: the only place that touches cocotb's runner."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from codesign.builddir import BuildDir
from codesign.errors import ToolError, UsageError
from codesign.evidence import BenchResult
from codesign.manifest import Manifest
from codesign.sim.cache import cached_folder, digest, objcache_command
from codesign.sim.hierarchy import control_file
from codesign.sim.native import vectors
from codesign.sim.waves import wave_format, wave_path
from codesign.toolchain.verilator import Verilator, find_verilator, tail

INSTALL = "pip install 'cocotb==2.1.0'"
TESTS = ("exactness", "random_stalls", "idle_gaps", "reset_mid_frame", "latency_and_ii")
BUILD = [
    "--no-public-flat-rw", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert",
    "--no-timing", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--output-split", "3000",
]  # fmt: skip
OPTIMISE = "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O2"


@dataclass(frozen=True)
class CocotbResult:
    """One run of all tests. ``latency`` and ``ii`` are measured, None when that test failed
    before measuring. ``frames_per_second`` is of the exactness test."""

    benches: list[BenchResult]
    latency: int | None
    ii: float | None
    frames_per_second: float | None
    build_seconds: float
    waves: Path | None = None
    note: str = ""

    @property
    def ok(self) -> bool:
        """Every test ran and passed."""
        return len(self.benches) >= 1 and all(b.passed for b in self.benches)


def run_cocotb(
    build: BuildDir,
    inputs: NDArray,
    expected: Mapping[str, NDArray],
    *,
    waves: bool | Literal["fst", "vcd"] = False,
    seed: int = 1,
    frames: Mapping[str, int] | None = None,
    only: list[str] | None = None,
    writes: Sequence[tuple[int, int]] = (),
) -> CocotbResult:
    """Run the bench on ``inputs`` and compare every boundary with ``expected``.

    ``frames`` overrides the number of frames of a test (see ``TESTS``); ``only`` selects tests.
    ``waves``: "fst" or "vcd"; True takes FST, or VCD with a note when FST cannot be built. The
    file is ``sim/dump.fst`` (or ``.vcd``) in the build folder. ``writes``: as
    :func:`~codesign.sim.native.run_native` has them.
    """
    _check_tests(only)
    manifest = build.manifest
    streams = vectors(manifest, inputs, expected)
    tool = find_verilator()
    format, note = wave_format(tool, waves)
    start = time.perf_counter()
    program = _program(tool, build, format)
    build_seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory(prefix="codesign-cocotb-") as scratch:
        folder = Path(scratch)
        arrays: dict[str, Any] = {"=" + port.tensor: codes for port, codes, _ in streams[1:]}
        np.savez(folder / "arrays.npz", **arrays, input=streams[0][1])
        counts = _frame_counts(len(streams[0][1]), frames)
        _write_config(folder, build, counts, seed, writes)
        xml = _simulate(tool, manifest, program, folder, seed, only, format)
        measured = _read_measured(folder)
        benches = _benches(xml, counts, seed)
        kept = _keep_waves(build, folder, format)
    return CocotbResult(
        benches,
        measured.get("latency"),
        measured.get("ii"),
        measured.get("frames_per_second"),
        build_seconds,
        kept,
        note,
    )


def _check_tests(only: list[str] | None) -> None:
    for name in only or []:
        if name not in TESTS:
            raise UsageError(
                f"no test named '{name}'", where="only", hint=f"tests: {', '.join(TESTS)}"
            )


def _frame_counts(given: int, wanted: Mapping[str, int] | None) -> dict[str, int]:
    """Frames of each test: all for exactness, fewer for the slower ones."""
    counts = {
        "exactness": given,
        "random_stalls": max(min(given, 8), given // 2),
        "idle_gaps": max(min(given, 8), given // 4),
        "reset_mid_frame": min(given, 5),
        "latency_and_ii": 12,
    }
    return {**counts, **(wanted or {})}


def _runner_class() -> Any:
    """cocotb's Verilator runner that uses our environment instead of ``os.environ``."""
    try:
        from cocotb_tools.runner import get_runner
    except ImportError as error:
        raise ToolError("cocotb is not installed", where="cocotb", hint=INSTALL) from error
    base = type(get_runner("verilator"))

    class Runner(base):  # type: ignore[misc, valid-type]
        tool: Verilator

        def _simulator_in_path_build_only(self) -> None:
            self.executable = str(self.tool.binary)

        def _set_env_build(self) -> None:
            super()._set_env_build()
            self.env.update(self.tool.environment(objcache_command(self.tool)))
            self.env["MAKEFLAGS"] += " " + OPTIMISE

    return Runner


def _runner(tool: Verilator) -> Any:
    runner = _runner_class()()
    runner.tool = tool
    runner.log.disabled = True
    return runner


def _program(tool: Verilator, build: BuildDir, format: str) -> Path:
    """The folder with the compiled simulator, built or from the cache."""
    _runner_class()
    control = control_file(build, writable=True)
    versions = [tool.version, tool.compiler_version(), importlib.metadata.version("cocotb")]
    place = Path(__file__).parent.as_posix()
    key = digest([control, *versions, place, *BUILD, OPTIMISE, format, *build.rtl_files()])

    def fill(work: Path) -> None:
        (work / "design.vlt").write_text(control)
        _compile(tool, build, work, format)
        for path in work.iterdir():
            if path.name != build.manifest.top:
                path.unlink()

    return cached_folder("cocotb", key, fill)[0]


def _compile(tool: Verilator, build: BuildDir, work: Path, format: str) -> None:
    """One build through cocotb's runner; ``ToolError`` with the log's errors."""
    log = work / "build.log"
    try:
        _runner(tool).build(
            sources=[work / "design.vlt", *build.rtl_files()],
            hdl_toplevel=build.manifest.top,
            build_args=[*BUILD, *(["--trace-fst"] if format == "fst" else [])],
            build_dir=work,
            timescale=("1ns", "1ps"),
            waves=bool(format),
            log_file=log,
        )
    except (RuntimeError, SystemExit) as error:
        text = log.read_text(errors="replace") if log.exists() else ""
        raise ToolError(
            f"building the cocotb simulation failed: {error}\n{tail(text)}",
            where=str(build.root),
            hint="run 'codesign doctor'",
        ) from error


def _write_config(
    folder: Path,
    build: BuildDir,
    counts: Mapping[str, int],
    seed: int,
    writes: Sequence[tuple[int, int]],
) -> None:
    """config.json of the bench."""
    config = {
        "manifest": str((build.root / "manifest.json").resolve()),
        "arrays": str(folder / "arrays.npz"),
        "measured": str(folder / "measured.json"),
        "frames": dict(counts),
        "seed": seed,
        "writes": [list(pair) for pair in writes],
    }
    (folder / "config.json").write_text(json.dumps(config))


def _simulate(
    tool: Verilator,
    manifest: Manifest,
    program: Path,
    folder: Path,
    seed: int,
    only: list[str] | None,
    format: str,
) -> Path:
    """Run the tests; path of the results XML. Failed tests are in it, they do not raise."""
    xml, log = folder / "results.xml", folder / "sim.log"
    failure = ""
    try:
        _runner(tool).test(
            test_module="codesign.sim.bench",
            hdl_toplevel_lang="verilog",
            hdl_toplevel=manifest.top,
            build_dir=program,
            test_dir=folder,
            results_xml=str(xml),
            testcase=only,
            seed=seed,
            waves=bool(format),
            log_file=log,
            extra_env={
                "CODESIGN_BENCH": str(folder / "config.json"),
                "COCOTB_RESULTS_ATTACHMENTS": "",
                "COCOTB_ANSI_OUTPUT": "0",
            },
        )
    except (RuntimeError, SystemExit) as error:  # under pytest the runner exits on a failed test
        failure = str(error)
    if not xml.is_file():
        text = log.read_text(errors="replace") if log.exists() else ""
        raise ToolError(
            f"the simulation ended without results ({failure})\n{tail(text)}",
            where="cocotb",
            hint="run 'codesign doctor'",
        )
    return xml


def _benches(xml: Path, counts: Mapping[str, int], seed: int) -> list[BenchResult]:
    """One result per test case of the XML, cross-checked with cocotb's own count."""
    from cocotb_tools.check_results import get_results

    results = []
    for case in ElementTree.parse(xml).getroot().iter("testcase"):
        name = (case.get("name") or "").rpartition(".")[2]
        if case.find("skipped") is not None:
            continue
        problems = [p for kind in ("failure", "error") for p in case.findall(kind)]
        results.append(
            BenchResult(
                name=name,
                engine="cocotb",
                passed=not problems,
                frames=counts.get(name, 0),
                seconds=float(case.get("time") or 0),
                message="; ".join(_message(p) for p in problems),
                seed=seed,
            )
        )
    _, failed = get_results(xml)
    if failed and all(r.passed for r in results):
        raise ToolError(f"cocotb counts {failed} failed tests, none is named", where=str(xml))
    return results


def _message(problem: ElementTree.Element) -> str:
    """First line of a failure: the assertion's own words."""
    text = problem.get("message") or (problem.text or "").strip() or "failed"
    return text.splitlines()[0]


def _read_measured(folder: Path) -> dict[str, Any]:
    path = folder / "measured.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _keep_waves(build: BuildDir, folder: Path, format: str) -> Path | None:
    """Move the waveform into the build folder."""
    if not format:
        return None
    target = wave_path(build, format)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder / f"dump.{format}", target)
    return target
