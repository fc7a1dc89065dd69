"""Simulation speed on the unrolled demo network: our native harness, cocotb, and da4ml's own
Verilated emulator, in one run on the same inputs."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.da4ml_compare import Layer, trace_da4ml
from codesign.api import Design, generate
from codesign.builddir import BuildDir
from codesign.ir.serialize import load_graph
from codesign.plan import partition
from codesign.reference import run
from codesign.sim.native import run_native
from codesign.sim.runner import run_cocotb
from codesign.toolchain.verilator import find_verilator

FRAMES = 400_000
REPEATS = 3


def expected_taps(design: Design, codes: np.ndarray) -> dict[str, np.ndarray]:
    """Reference codes of every boundary the circuit shows."""
    graph = load_graph(design.path / "model")
    source = partition(graph).source
    taps = [tap.port.tensor for tap in design.manifest.taps]
    found = run(graph, {source.name: codes.reshape(-1, *source.shape)}, keep=taps)
    return {name: found[name].reshape(len(codes), -1) for name in taps}


def measure(model: Path, layers: list[Layer], folder: Path) -> dict[str, float]:
    """Frames a second of each engine; the best of a few interleaved runs."""
    begin = time.perf_counter()
    design = generate(model, folder / "build", unrolled=True)
    generate_s = time.perf_counter() - begin
    codes = np.random.default_rng(5).integers(0, 16, (FRAMES, layers[0].weights.shape[1]))
    taps = expected_taps(design, codes)
    build = BuildDir.open(design.path)
    run_native(build, codes[:64], {n: c[:64] for n, c in taps.items()})  # compiles
    emulator = _da4ml(layers, design.manifest.latency - 1, folder / "da4ml")
    if not np.array_equal(
        emulator.predict(codes[:512].astype(np.float64)), _half_up(layers, codes[:512])
    ):
        raise SystemExit("da4ml's emulator differs from its own semantics")
    data = codes.astype(np.float64)
    best: dict[str, float] = {}
    for _ in range(REPEATS):
        for threads in (1, 2):
            result = run_native(build, codes, taps, threads=threads)
            if result.mismatches:
                raise SystemExit(f"mismatch: {result.first}")
            _keep(best, f"native harness, {threads} threads", FRAMES / result.seconds)
            begin = time.perf_counter()
            emulator.predict(data, n_threads=threads)
            _keep(
                best, f"da4ml emulator, {threads} threads", FRAMES / (time.perf_counter() - begin)
            )
    some = {name: array[:20_000] for name, array in taps.items()}
    cocotb = run_cocotb(build, codes[:20_000], some, only=["exactness"])
    if not cocotb.ok:
        raise SystemExit(f"cocotb: {cocotb.benches}")
    return {**best, "cocotb": cocotb.frames_per_second or 0.0, "generate_s": generate_s}


def _keep(best: dict[str, float], name: str, value: float) -> None:
    best[name] = max(best.get(name, 0.0), value)


def _half_up(layers: list[Layer], x: np.ndarray) -> np.ndarray:
    from benchmarks.da4ml_compare import golden

    return golden(layers, x, "half_up")


def _da4ml(layers: list[Layer], cycles: int, folder: Path):
    """da4ml's own model of the network, pipelined to about as many cycles, compiled."""
    from da4ml.codegen import RTLModel
    from da4ml.trace import to_pipeline

    os.environ.update(find_verilator().environment())
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    comb = trace_da4ml(layers)
    longest = int(max(comb.latency))
    pipes = (to_pipeline(comb, cutoff, verbose=False) for cutoff in range(1, longest + 2))
    pipe = next(p for p in pipes if len(p.solutions) < cycles)
    model = RTLModel(pipe, "da4ml_net", folder)
    model.write()
    model.compile()
    return model
