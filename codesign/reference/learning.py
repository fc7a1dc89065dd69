"""The integer reference of a network that learns: codes, logs and weights of a whole run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from codesign.ir import Graph
from codesign.learning.taught import Log
from codesign.manifest import LearningRegion, Manifest
from codesign.ops.event_learning import EventLearning, Work
from codesign.ops.headed_encode import HeadedEncode
from codesign.ops.neuron import state_name
from codesign.reference import run

#: Columns of a layer's log streams, by the name of the stream.
LOGS = {"log_pre": "pre", "log_post": "post", "log_weights": "weights"}


@dataclass(frozen=True, eq=False)
class LearningRun:
    """``codes``: of every tap and of the output, int64 [frames, elements] by tensor. ``logs``:
    [words, columns] by tensor. ``weights``: int64 [inputs, outputs] by layer, after the run.
    ``seen``: what each layer had to read, for the event models."""

    codes: Mapping[str, np.ndarray]
    logs: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray]
    seen: Mapping[str, Work]


def learning_run(
    graph: Graph,
    manifest: Manifest,
    frames: np.ndarray,
    simd: Mapping[str, int],
    weights: Mapping[str, np.ndarray] | None = None,
) -> LearningRun:
    """``graph`` (a circuit's) on ``frames`` int64 [n, elements], from ``weights`` (by layer) or
    those of the model. ``simd``: inputs a beat of each learning layer."""
    source = graph.values[graph.inputs[0]]
    given = {source.name: np.asarray(frames).reshape(-1, *source.shape)}
    regions = {region.layer: region for region in manifest.learning}
    codes: dict[str, np.ndarray] = {}
    logs: dict[str, np.ndarray] = {}
    after: dict[str, np.ndarray] = {}
    seen: dict[str, Work] = {}
    for node in graph.nodes:
        if isinstance(node.op, HeadedEncode):
            given[node.output] = node.op.execute([], given[node.inputs[0]])
        if not isinstance(node.op, EventLearning):
            continue
        x, lanes = given[node.inputs[0]], regions[node.name].lanes
        found = node.op.run(x, lanes, (weights or {}).get(node.name))
        given[node.output] = node.op.given(x, found.spikes)
        codes |= {state_name(node.name, name): s for name, s in found.states.items()}
        logs |= _logs(node.name, found.log, lanes)
        after[node.name] = found.weights
        seen[node.name] = node.op.work(x, found, simd[node.name])
    wanted = {tap.port.tensor for tap in manifest.taps} | {manifest.output.tensor}
    codes |= run(graph, given, keep=sorted(wanted - set(codes)))
    flat = {name: codes[name].reshape(len(frames), -1) for name in wanted}
    return LearningRun(flat, logs, after, seen)


def _logs(layer: str, log: Log, lanes: int) -> dict[str, np.ndarray]:
    return {f"{layer}.{port}": log.rows(name, lanes) for port, name in LOGS.items()}


def addresses(region: LearningRegion) -> list[int]:
    """Byte addresses of the 32-bit words of a layer's weights, ascending."""
    memory = region.weights
    return [
        memory.base + word * memory.stride + 4 * part
        for word in range(memory.words)
        for part in range(memory.parts)
    ]


def to_words(region: LearningRegion, weights: np.ndarray) -> list[int]:
    """The 32-bit words at :func:`addresses` for ``weights`` int [inputs, outputs]."""
    bits, mask, found = region.weight_bits, (1 << region.weight_bits) - 1, []
    rows = weights.reshape(region.inputs, -1, region.lanes).transpose(1, 0, 2)
    for row in rows.reshape(-1, region.lanes).tolist():
        word = sum((code & mask) << (lane * bits) for lane, code in enumerate(row))
        found += [word >> 32 * part & 0xFFFFFFFF for part in range(region.weights.parts)]
    return found


def from_words(region: LearningRegion, words: list[int]) -> np.ndarray:
    """The weights int64 [inputs, outputs] that these words hold."""
    parts, bits = region.weights.parts, region.weight_bits
    codes = []
    for start in range(0, len(words), parts):
        word = sum(w << 32 * part for part, w in enumerate(words[start : start + parts]))
        row = [word >> (lane * bits) & ((1 << bits) - 1) for lane in range(region.lanes)]
        codes.append([c - (1 << bits) if c >> (bits - 1) else c for c in row])
    cube = np.array(codes, np.int64).reshape(-1, region.inputs, region.lanes)
    return np.asarray(cube.transpose(1, 0, 2).reshape(region.inputs, region.outputs))
