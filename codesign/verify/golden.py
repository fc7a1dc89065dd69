"""PyTorch's recorded results as vector sets."""

from __future__ import annotations

from pathlib import Path

from codesign.errors import UsageError
from codesign.plan import Circuit
from codesign.train.golden import load_golden
from codesign.verify.vectors import VectorSet, host_codes


def golden_vectors(path: Path, circuit: Circuit) -> list[VectorSet]:
    """The recorded test split and random inputs; nothing when none were recorded."""
    if not path.exists():
        return []
    golden = load_golden(path)
    shape = circuit.graph.values[circuit.graph.inputs[0]].shape
    sets = []
    for name, floats, torch, labels, seed in (
        ("test split", golden.test_x, golden.test, golden.test_y, None),
        ("random inputs", golden.random_x, golden.random, None, golden.seed),
    ):
        if not len(floats):
            continue
        if floats.shape[1:] != shape:
            raise UsageError(
                f"recorded inputs have shape {floats.shape[1:]}, the model takes {shape}",
                where=str(path),
                hint="record them again with the model",
            )
        codes = host_codes(circuit, floats)
        known = labels if labels is not None and len(labels) == len(floats) else None
        sets.append(VectorSet(name, codes, floats, known, seed, torch))
    return sets
