"""Presets against the software and hardware they reproduce: every spike and state of the runs that
``oracles/record.py`` recorded, and XyloSim itself where it is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from codesign.neurons import Lif, presets

FOLDER = Path(__file__).parent / "oracles"
sys.path.insert(0, str(FOLDER))
from cases import CASES, Case, digests  # noqa: E402  as the recording interpreters import it

EVERY = [(oracle, case) for oracle, cases in CASES.items() for case in cases]


def current(case: Case, which: str = "") -> np.ndarray:
    """What arrives, int64 [steps, neurons]: spikes times their weight, or sums as they are."""
    x, p = case.inputs("x" + which), case.parameters()
    return x * (p["weight" + which] << case.fixed["shift"]) if "weight" in p else x


def traces(model: Lif, x: np.ndarray) -> dict[str, np.ndarray]:
    out, states = model.run(x[None])
    return {"spikes": out[0]} | {name: s[0] for name, s in states.items()}


def ours(case: Case) -> dict[str, np.ndarray]:
    """All that the preset makes of a case, int64 [steps, neurons] each."""
    return globals()[f"_{case.preset}"](case, case.parameters(), dict(case.fixed))


def _loihi(case, p, fixed):
    model = presets.loihi(p["du"], p["dv"], p["vth"], bias=p["bias"], resets_current=False, **fixed)
    return traces(model, current(case))


def _hls4ml(case, p, fixed):
    beta = None if fixed.pop("kind") == "if" else p["beta"]
    model = presets.hls4ml(fixed.pop("bits"), fixed.pop("frac"), p["theta"], beta=beta, **fixed)
    return traces(model, current(case))


def _spiker(case, p, fixed):
    model = presets.spiker(
        fixed["bits"], fixed["shift"], p["theta"], reset=fixed["reset"],
        reset_value=p["reset_value"],
    )  # fmt: skip
    return traces(model, sum(case.inputs(f"x{k}") for k in range(fixed["weights"])))


def _tinyodin(case, p, fixed):
    return traces(presets.tinyodin(p["leak"], p["theta"]), current(case))


def _xylo(case, p, fixed):
    rest = {"bias": p["bias"], "max_spikes": 31}
    if "weight2" not in p:
        return traces(presets.xylo(p["dash_mem"], p["dash_syn"], p["v_th"], **rest), current(case))
    i, i2 = (
        traces(presets.xylo_current(p["dash_syn" + k]), current(case, k))["v"] for k in ("", "2")
    )
    return traces(presets.xylo_membrane(p["dash_mem"], p["v_th"], **rest), i + i2) | {
        "i": i,
        "i2": i2,
    }


@pytest.mark.parametrize("oracle, case", EVERY, ids=lambda x: getattr(x, "name", x))
def test_preset_is_its_oracle(oracle: str, case: Case) -> None:
    recorded = json.loads((FOLDER / "recorded" / f"{oracle}.json").read_text())["cases"][case.name]
    found = ours(case)
    assert recorded.pop("spikes fired") == found["spikes"].sum()
    for name, wanted in recorded.items():
        same = [a == b for a, b in zip(digests(found[name]), wanted, strict=True)]
        assert all(same), f"{name} differs first in block {same.index(False)} of {len(same)}"


@pytest.mark.parametrize("case", CASES["xylosim"], ids=lambda c: c.name)
def test_preset_is_the_xylosim_installed(case: Case) -> None:
    pytest.importorskip("xylosim")
    from of_xylosim import run

    found = ours(case)
    for name, codes in run(case, Path()).items():
        assert (codes == found[name]).all(), name
