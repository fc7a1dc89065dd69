"""Verilates and compiles the native harness of a design.

Verilator's makefile is not used: its generated classes are joined into one source per core, the
cold ones at -O0, and its own runtime comes from the object cache, as do the headers of the system
and of the runtime, compiled once: reading them is half of a small design's compile time.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from codesign.builddir import BuildDir
from codesign.errors import ToolError
from codesign.sim.cache import cached_folder, digest, objcache_command
from codesign.sim.harness import check_root, design_header
from codesign.sim.hierarchy import control_file
from codesign.toolchain.verilator import Verilator, run, tail

VERILATE = [
    "--cc", "-O3", "--prefix", "Vtop", "--flatten", "--x-assign", "fast", "--x-initial", "fast",
    "--noassert", "--no-timing", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--output-split", "3000",
]  # fmt: skip
COMMON = ["-std=c++17", "-fno-exceptions", "-DVM_COVERAGE=0", "-DVM_TRACE=0", "-DVM_SC=0", "-w"]
FAST = ["-O1", "-fno-stack-protector", "-fno-plt"]
SMALL = 150_000  # bytes of generated C++
RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
HEADERS = (
    "verilated.h", "algorithm", "atomic", "chrono", "cstdint", "cstdio", "cstdlib", "cstring",
    "memory", "string", "thread", "type_traits", "vector",
)  # fmt: skip
HARNESS = Path(__file__).with_name("native.cpp")
PARTS = [Path(__file__).with_name(name) for name in ("native_parts.h", "native_axil.h")]


def native_key(tool: Verilator, build: BuildDir) -> str:
    """Cache key of the harness: RTL, streams, flags, tools."""
    manifest = build.manifest
    shape = manifest.model_dump_json(include={"top", "input", "output", "taps", "logs"})
    tools = [tool.version, str(tool.cxx), tool.compiler_version(), *VERILATE, *COMMON, *FAST]
    code: tuple[str | Path, ...] = (design_header(manifest), HARNESS, *PARTS)
    return digest([shape, *tools, *code, *build.rtl_files()])


def build_native(tool: Verilator, build: BuildDir, work: Path) -> None:
    """Make ``work/harness``; everything else in ``work`` is removed."""
    model = work / "model"
    model.mkdir()
    (model / "design.vlt").write_text(control_file(build, writable=False))
    (model / "design.h").write_text(design_header(build.manifest))
    _verilate(tool, build, model)
    check_root((model / "Vtop___024root.h").read_text(), build)
    sources = _join_sources(model)
    objects = _compile(tool, model, sources)
    link = [str(tool.cxx), "-o", str(work / "harness"), *map(str, objects), "-lpthread"]
    run(link, what="g++ (link)", cwd=model)
    for path in model.iterdir():
        path.unlink()
    model.rmdir()


def _verilate(tool: Verilator, build: BuildDir, model: Path) -> None:
    """Verilog to C++."""
    command = [str(tool.binary), *VERILATE, "--Mdir", str(model), "--top-module"]
    command += [build.manifest.top, str(model / "design.vlt"), *map(str, build.rtl_files())]
    run(command, what="verilator", cwd=model, env=tool.environment())


def _join_sources(model: Path) -> dict[Path, list[str]]:
    """One source per core of the hot classes, one of the cold ones: {path: flags}.

    A small design becomes a single source: reading the headers is most of its compile time.
    """
    generated = sorted(model.glob("Vtop*.cpp"), key=lambda p: -p.stat().st_size)
    if sum(p.stat().st_size for p in generated) < SMALL:
        return {_joined(model, 0, [HARNESS, *generated]): FAST}
    cold = [p for p in generated if p.stem.endswith(("__Slow", "__Syms"))]
    groups: list[list[Path]] = [[HARNESS], []]
    for path in generated:
        if path not in cold:
            min(groups, key=lambda g: sum(p.stat().st_size for p in g)).append(path)
    wanted = [(groups[0], FAST), (groups[1], FAST), (cold, ["-O0"])]
    return {_joined(model, k, group): flags for k, (group, flags) in enumerate(wanted) if group}


def _joined(model: Path, number: int, group: Sequence[Path]) -> Path:
    """A source that includes all of ``group``."""
    joined = model / f"part{number}.cc"
    joined.write_text("".join(f'#include "{p}"\n' for p in group))
    return joined


def _compile(tool: Verilator, model: Path, sources: dict[Path, list[str]]) -> list[Path]:
    """Objects of the joined sources and of Verilator's runtime, compiled side by side."""
    include = [f"-I{tool.include}", f"-I{tool.include / 'vltstd'}"]
    base = [str(tool.cxx), *COMMON, *include]
    headers = ["-include", str(_headers([*base, *FAST], tool))]
    commands: list[list[str]] = []
    objects: list[Path] = []
    for name in RUNTIME:
        objects.append(model / f"{name}.o")
        wrapped = [*objcache_command(tool), *base, *FAST, "-c", "-o", str(objects[-1])]
        commands.append([*wrapped, str(tool.include / name)])
    for source, flags in sources.items():
        objects.append(source.with_suffix(".o"))
        # g++ takes compiled headers only where the options are theirs
        chosen = [*(headers if flags == FAST else []), *flags]
        paths = [f"-I{model}", f"-I{HARNESS.parent}"]
        commands.append([*base, *paths, *chosen, "-c", "-o", str(objects[-1]), str(source)])
    _run_parallel(commands, model)
    return objects


def _headers(compiler: Sequence[str], tool: Verilator) -> Path:
    """A header of all ``HEADERS``, compiled beside it; g++ reads its text where that is unfit."""
    names = "".join(f"#include <{name}>\n" for name in HEADERS)
    runtime = sorted(tool.include.glob("*.h"))
    key = digest([names, tool.compiler_version(), *compiler, *runtime])

    def fill(folder: Path) -> None:
        header = folder / "headers.h"
        header.write_text(names)
        command = [*compiler, "-x", "c++-header", "-o", f"{header}.gch", str(header)]
        run(command, what="g++ (headers)", cwd=folder)

    return cached_folder("headers", key, fill)[0] / "headers.h"


def _run_parallel(commands: Sequence[list[str]], folder: Path) -> None:
    """Run compilers, as many at a time as there are cores; ``ToolError`` with their messages."""
    waiting = list(commands)
    running: list[subprocess.Popen[str]] = []
    while waiting or running:
        while waiting and len(running) < len(os.sched_getaffinity(0)):
            command = waiting.pop(0)
            running.append(
                subprocess.Popen(
                    command,
                    cwd=folder,
                    text=True,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                )
            )
        process = running.pop(0)
        _, errors = process.communicate()
        if process.returncode != 0:
            for other in running:
                other.kill()
                other.communicate()
            raise ToolError(
                f"failed with exit status {process.returncode}\n{tail(errors)}",
                where="g++",
                hint="please report this with the build folder",
            )
