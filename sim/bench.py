"""The generic cocotb bench: runs inside the simulator, configured by a file.

``$CODESIGN_BENCH`` names a JSON file: manifest, arrays (npz without pickles), seed and frames of
each test; what was measured is written back as JSON. Started by ``codesign.sim.runner``.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from codesign.manifest import Manifest
from codesign.sim.driver import Circuit, Run, always, bursts, gaps

_CONFIG: dict[str, Any] = json.loads(Path(os.environ["CODESIGN_BENCH"]).read_text())
_MANIFEST = Manifest.model_validate_json(Path(_CONFIG["manifest"]).read_text())
with np.load(_CONFIG["arrays"], allow_pickle=False) as _file:
    _ARRAYS: dict[str, NDArray] = {name: _file[name] for name in _file.files}
_MEASURED: dict[str, Any] = {}
_DRAIN = _MANIFEST.latency + _MANIFEST.ii + 16


def _frames(test: str) -> NDArray:
    """Indices of the frames of ``test``; it starts over when there are too few, unless each frame
    depends on those before it."""
    if _MANIFEST.frames_depend:
        return np.arange(min(_CONFIG["frames"][test], len(_ARRAYS["input"])))
    return np.arange(_CONFIG["frames"][test]) % len(_ARRAYS["input"])


def _rng(test: str) -> random.Random:
    return random.Random(f"{_CONFIG['seed']} {test}")


def _measured(**values: Any) -> None:
    """Add to the results file."""
    _MEASURED.update(values)
    Path(_CONFIG["measured"]).write_text(json.dumps(_MEASURED))


async def _circuit(dut: Any) -> Circuit:
    circuit = Circuit(dut, _MANIFEST, _ARRAYS)
    await circuit.start()
    if _CONFIG["writes"]:  # once: memories keep their contents from test to test
        await circuit.load(_CONFIG["writes"])
        _CONFIG["writes"] = []
    return circuit


@cocotb.test()
async def exactness(dut: Any) -> None:
    """Frames back to back, sink always ready: every code of every boundary."""
    circuit, frames = await _circuit(dut), _frames("exactness")
    start = time.perf_counter()
    await circuit.run(frames)
    seconds = time.perf_counter() - start
    await circuit.drain(_DRAIN)
    _measured(frames_per_second=len(frames) / seconds)
    circuit.check(frames, "cocotb, back to back")


@cocotb.test()
async def random_stalls(dut: Any) -> None:
    """Source and sink wait at random, in bursts."""
    circuit, frames, rng = await _circuit(dut), _frames("random_stalls"), _rng("random_stalls")
    await circuit.run(frames, bursts(rng), bursts(rng))
    await circuit.drain(_DRAIN)
    circuit.check(frames, "cocotb, random stalls")


@cocotb.test()
async def idle_gaps(dut: Any) -> None:
    """The source falls silent now and then, up to several frames long."""
    circuit, frames, rng = await _circuit(dut), _frames("idle_gaps"), _rng("idle_gaps")
    longest = min(2 * _MANIFEST.latency + 4, 200)
    await circuit.run(frames, gaps(rng, longest), always)
    await circuit.drain(_DRAIN)
    circuit.check(frames, "cocotb, idle gaps")


@cocotb.test()
async def reset_mid_frame(dut: Any) -> None:
    """Reset with frames inside the circuit, at random moments; exact again afterwards."""
    circuit, frames, rng = await _circuit(dut), _frames("reset_mid_frame"), _rng("reset")
    many = (
        frames
        if _MANIFEST.frames_depend
        else np.resize(frames, len(frames) + 2 + _MANIFEST.latency // max(1, _MANIFEST.ii))
    )
    for _ in range(3):
        cut = rng.randint(1, min(_MANIFEST.latency + _MANIFEST.ii, 2000))
        await circuit.run(many, always, bursts(rng), stop_after=cut)
        await circuit.reset(rng.randint(1, 3))
        await circuit.run(frames)
        await circuit.drain(_DRAIN)
        circuit.check(frames, "cocotb, after a reset in mid-frame")
        circuit.forget()


@cocotb.test()
async def latency_and_ii(dut: Any) -> None:
    """Measured cycles equal the manifest's exactly; where they depend on data, frames are not all
    faster than silence, nor all slower than spikes everywhere: one of them may be, whose last
    spikes are done sooner than its neighbour's (verify compares cycles with the data's own)."""
    circuit, frames = await _circuit(dut), _frames("latency_and_ii")
    alone = await circuit.run(frames[:1])
    await circuit.drain(_DRAIN)
    circuit.check(frames[:1], "cocotb, one frame alone")
    latency = alone.delivered[-1] - alone.taken[0]
    circuit.forget()
    await circuit.reset(2)
    run = await circuit.run(frames)
    ii = _steady_ii(run)
    circuit.check(frames, "cocotb, back to back")
    _measured(latency=latency, ii=ii)
    activity = _MANIFEST.activity
    if activity is not None:
        ends = _ends(run)
        paces = [after - before for before, after in zip(ends, ends[1:], strict=False)]
        within = activity.silent_ii <= max(paces) and min(paces) <= activity.dense_ii
        assert within, f"cycles between frames, {paces}, lie outside {activity}"
        return
    wrong = [
        f"{name} measured {got}, manifest says {want}"
        for name, got, want in (("latency", latency, _MANIFEST.latency), ("II", ii, _MANIFEST.ii))
        if math.ceil(got) != want  # of frames that take turns, the manifest has the mean rounded up
    ]
    assert not wrong, "; ".join(wrong)


def _ends(run: Run) -> list[int]:
    """When the last beat of each frame left."""
    return run.delivered[_MANIFEST.output.beats - 1 :: _MANIFEST.output.beats]


def _steady_ii(run: Run) -> float:
    """Mean cycles between the last beats of frames, over the second half of the run; without the
    very last, which has none behind it and may leave sooner, if two others are left."""
    ends = _ends(run)
    middle = len(ends) // 2
    last = max(len(ends) - 2, middle + 1)
    apart = [b - a for a, b in zip(ends[middle:last], ends[middle + 1 : last + 1], strict=True)]
    for period in range(1, len(apart) // 2 + 1):
        if apart[period:] == apart[:-period]:  # frames take turns: the mean of one round
            return sum(apart[:period]) / period
    return sum(apart) / len(apart)
