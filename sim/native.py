"""Native Verilator harness: runs whole data sets through the circuit, every boundary compared.

``run_native`` verilates the design with ``native.cpp``, keeps the program in the user's cache
(keyed by RTL and harness), writes the vectors as packed words and reads back the findings.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codesign.builddir import BuildDir
from codesign.errors import ToolError, UsageError
from codesign.evidence import Mismatch
from codesign.manifest import Manifest, Port
from codesign.sim import packing
from codesign.sim.cache import cached_folder
from codesign.sim.compile import build_native, native_key
from codesign.sim.events import pack_events
from codesign.toolchain.verilator import find_verilator, tail

ENGINE = "RTL in Verilator"
KINDS = (
    "",
    "tlast is wrong",
    "a beat beyond the last frame",
    "tvalid dropped while waiting for tready",
    "data changed while waiting for tready",
    "words of the log are missing",
)


@dataclass(frozen=True)
class SimResult:
    """What one native run found.

    ``mismatches`` counts differing codes at all boundaries plus protocol faults (see KINDS).
    ``latency`` and ``ii`` are cycles as the manifest defines them, None when not measurable
    (random stalls, a single frame, a hang). ``seconds`` is the simulation loop alone.
    ``first_frame``: with ``record``, the codes int64 [elements] of every tap, by tensor.
    ``load_errors``: register accesses that were refused or read back other data. ``read``: the
    32-bit words at the addresses asked for, after the run.
    """

    frames: int
    mismatches: int
    first: Mismatch | None
    latency: int | None
    ii: float | None
    seconds: float
    build_seconds: float
    hang: bool
    cycles: int = 0
    received: int = 0
    threads: int = 1
    message: str = ""
    load_errors: int = 0
    first_frame: Mapping[str, NDArray] = field(default_factory=dict)
    read: Sequence[int] = ()

    @property
    def ok(self) -> bool:
        """All frames came out, every code of every boundary equal."""
        return not self.hang and self.mismatches == 0 and self.load_errors == 0

    @property
    def frames_per_second(self) -> float:
        """Speed of the simulation loop."""
        return self.frames / self.seconds if self.seconds else 0.0


def run_native(
    build: BuildDir,
    inputs: NDArray,
    expected: Mapping[str, NDArray],
    *,
    threads: int = 0,
    stall_seed: int | None = None,
    progress: Callable[[int], None] | None = None,
    watchdog: int | None = None,
    writes: Sequence[tuple[int, int]] = (),
    record: bool = False,
    reads: Sequence[int] = (),
) -> SimResult:
    """Run every frame of ``inputs`` through the circuit and compare with ``expected``.

    ``inputs`` are codes [n, elements]; ``expected`` maps the tensor of every tap and of the
    output to codes [n, elements]. ``threads`` 0 uses every core. ``stall_seed`` makes source and
    sink wait at random. ``progress`` is called with the number of frames done. ``writes``: (byte
    address, data) written over AXI4-Lite before the first frame, and read back. ``record``: keep
    what the circuit itself had at every tap in the first frame. ``reads``: byte addresses read
    over AXI4-Lite after the last frame. ``expected`` has the design's logs too: codes
    [entries, elements], as many as there are; they need one thread.
    """
    manifest = build.manifest
    streams = vectors(manifest, inputs, expected)
    frames = len(streams[0][1])
    program, build_seconds = native_program(build)
    if (writes or reads) and not manifest.has_bus:
        raise UsageError("this design has no registers to write", where=str(build.root))
    workers = min(threads or len(os.sched_getaffinity(0)), frames)
    if manifest.frames_depend:
        workers = 1  # each thread begins at a reset
    with tempfile.TemporaryDirectory(prefix="codesign-native-") as scratch:
        folder = Path(scratch)
        _write_vectors(folder, streams)
        _write_logs(folder, manifest, expected)
        command = _command(program, folder, frames, workers, manifest, watchdog)
        if writes:
            np.array(writes, dtype="<u4").tofile(folder / "writes.bin")
            command += ["--writes", str(len(writes))]
        if reads:
            np.array(reads, dtype="<u4").tofile(folder / "reads.bin")
            command += ["--reads", str(len(reads))]
        if stall_seed is not None:
            command += ["--stalls", str(stall_seed % 2**63)]
        if record:
            command += ["--record", "1"]
        answer = _execute(command, progress)
        seen = _recorded(folder, manifest) if record else {}
        found = np.fromfile(folder / "read.bin", dtype="<u4").tolist() if reads else []
    result = _result(manifest, answer, frames, workers, build_seconds, stall_seed is not None)
    return replace(result, first_frame=seen, read=found)


def _recorded(folder: Path, manifest: Manifest) -> dict[str, NDArray]:
    """The first frame at every tap, where it passed wholly."""
    found = {}
    for k, tap in enumerate(manifest.taps):
        words = np.fromfile(folder / f"seen{k}.bin", dtype="<u4")
        if tap.port.events:
            if len(words) == tap.port.elements:
                found[tap.port.tensor] = words.astype(np.int64)
            continue
        beats = words.reshape(-1, packing.words_per_beat(tap.port, 1))
        if len(beats) == tap.port.beats:
            found[tap.port.tensor] = packing.unpack(beats[None], tap.port)[0]
    return found


def native_program(build: BuildDir) -> tuple[Path, float]:
    """The harness of ``build``, compiled or from the cache, and the seconds that took."""
    start = time.perf_counter()
    tool = find_verilator()
    key = native_key(tool, build)
    folder, _ = cached_folder("native", key, lambda work: build_native(tool, build, work))
    return folder / "harness", time.perf_counter() - start


Stream = tuple[Port, packing.Codes, bool]


def vectors(manifest: Manifest, inputs: NDArray, expected: Mapping[str, NDArray]) -> list[Stream]:
    """(port, codes, has payload last): input, output, taps; ``UsageError`` when one is missing."""
    streams: list[Stream] = [(manifest.input, packing.check_codes(inputs, manifest.input), False)]
    frames = len(streams[0][1])
    if frames == 0:
        raise UsageError("no frames to simulate", where=f"tensor '{manifest.input.tensor}'")
    ports = [(manifest.output, False), *((tap.port, True) for tap in manifest.taps)]
    for port, last in ports:
        if port.tensor not in expected:
            raise UsageError(
                "no expected codes for this tensor",
                where=f"tensor '{port.tensor}'",
                hint=f"expected holds: {', '.join(sorted(expected)) or 'nothing'}",
            )
        codes = packing.check_codes(expected[port.tensor], port)
        if len(codes) != frames:
            raise UsageError(
                f"{len(codes)} frames expected, but {frames} frames of input",
                where=f"tensor '{port.tensor}'",
            )
        streams.append((port, codes, last))
    return streams


def _write_vectors(folder: Path, streams: list[Stream]) -> None:
    """input.bin, output.bin, tap0.bin ... as packed words; what travels as events inside the
    circuit as one word a code, and of an input of events ends.bin beside it."""
    names = ["input", "output", *(f"tap{k}" for k in range(len(streams) - 2))]
    for name, (port, codes, last) in zip(names, streams, strict=True):
        if port.events is None:
            packed = packing.pack(codes, port, last=last)
        elif name == "input":
            packed, ends = pack_events(codes, port)
            ends.astype("<u8").tofile(folder / "ends.bin")
        else:
            packed = codes.astype(np.uint32)
        packed.astype("<u4", copy=False).tofile(folder / f"{name}.bin")


def _write_logs(folder: Path, manifest: Manifest, expected: Mapping[str, NDArray]) -> None:
    """log0.bin ...: an entry a beat."""
    for k, tap in enumerate(manifest.logs):
        port = tap.port
        entries = np.asarray(expected[port.tensor], np.int64).reshape(-1, port.elements)
        packed = packing.pack(entries, port, last=True)
        packed.astype("<u4", copy=False).tofile(folder / f"log{k}.bin")


def _command(
    program: Path, folder: Path, frames: int, workers: int, manifest: Manifest, watchdog: int | None
) -> list[str]:
    """Command line of the harness."""
    frame_cycles = manifest.latency + manifest.ii
    options = {
        "--folder": folder,
        "--frames": frames,
        "--threads": workers,
        "--watchdog": watchdog or max(100_000, 16 * frame_cycles),
        "--drain": frame_cycles + 16 + _learning(manifest),
    }
    return [str(program), *(str(word) for pair in options.items() for word in pair)]


def _learning(manifest: Manifest) -> int:
    """Cycles that learning may go on for after the last beat."""
    return manifest.activity.dense_ii if manifest.learning and manifest.activity else 0


def _execute(command: list[str], progress: Callable[[int], None] | None) -> dict[str, list[str]]:
    """Run the harness; its "key value..." lines as a dict."""
    answer: dict[str, list[str]] = {}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            key, *values = line.split()
            answer[key] = values
            if key == "progress" and progress is not None:
                progress(int(values[0]))
        status = process.wait()
        if status != 0 or "end" not in answer:
            errors.seek(0)
            raise ToolError(
                f"the simulator ended with status {status}\n{tail(errors.read())}",
                where=command[0],
                hint="delete the cache folder (CODESIGN_CACHE) and run again",
            )
    return answer


def _result(
    manifest: Manifest,
    answer: dict[str, list[str]],
    frames: int,
    workers: int,
    build_seconds: float,
    stalled: bool,
) -> SimResult:
    """Findings of the harness as a ``SimResult``."""
    hang = answer["hang"] == ["1"]
    span = [int(v) for v in answer.get("span", [])]
    latency = int(answer["latency"][0]) if "latency" in answer else None
    return SimResult(
        frames=frames,
        mismatches=int(answer["mismatches"][0]),
        first=_first(manifest, answer.get("first"), stalled),
        latency=None if stalled else latency,
        ii=span[0] / span[1] if span and span[1] and not stalled else None,
        seconds=float(answer["seconds"][0]),
        build_seconds=build_seconds,
        hang=hang,
        cycles=int(answer["cycles"][0]),
        received=int(answer["received"][0]),
        threads=workers,
        load_errors=int(answer["load_errors"][0]),
        message=_hang_message(manifest, answer, frames) if hang else "",
    )


def _first(manifest: Manifest, values: list[str] | None, stalled: bool) -> Mismatch | None:
    """The first difference, its tensor by name."""
    if values is None:
        return None
    frame, tensor, index, expected, actual, kind = (int(v) for v in values)
    ports = [
        *(tap.port for tap in manifest.taps),
        manifest.output,
        *(tap.port for tap in manifest.logs),
    ]
    engine = ENGINE + (", random stalls" if stalled else "")
    return Mismatch(
        tensor=ports[tensor].tensor,
        frame=frame,
        index=index,
        expected=expected,
        actual=actual,
        against=f"{engine}: {KINDS[kind]}" if kind else engine,
    )


def _hang_message(manifest: Manifest, answer: dict[str, list[str]], frames: int) -> str:
    """Where the frames got stuck."""
    names = [*(".".join(tap.path) for tap in manifest.taps), "output"]
    counts = ", ".join(f"{n} {s}" for n, s in zip(names, answer["seen"], strict=True))
    return f"the circuit hangs: of {frames} frames passed: {counts}"
