"""Networks for Xylo: every spike and state of hidden neurons and readouts against XyloSim, recorded
and, where it is installed, run."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import codesign
from codesign.errors import UnsupportedModel
from codesign.exchange import Metadata
from codesign.frontend.xylo import Xylo, import_xylo
from tests.frontend import xylo_network as x
from tests.frontend.step_runner import run_steps

RECORDED = json.loads((Path(__file__).parent / "xylo_recorded.json").read_text())


def time(readout: str = "count", steps: int = x.STEPS) -> Metadata:
    return Metadata(steps=steps, dt=1e-3, encoding="events", readout=readout, reset_at_window=True)


@cache
def ours(synapses: int, readout: str = "count") -> dict[str, np.ndarray]:
    """What the exchange model makes of the network's input, by XyloSim's names."""
    made = import_xylo(Xylo(**x.parameters(synapses)), time(readout))
    seen = run_steps(made.step, x.inputs())
    names = {"v": "hidden.v", "v_out": "readout.v", "i_out": "readout.i"}
    names |= {"i": "hidden.i"} if synapses == 1 else {"i": "synapse1.v", "i2": "synapse2.v"}
    found = {name: seen[f"{ours}_next"] for name, ours in names.items()}
    found |= {"spikes": seen["hidden"], "out": seen[made.step.graph.output[0].name]}
    return {name: np.asarray(codes).astype(np.int64) for name, codes in found.items()}


@pytest.mark.parametrize("synapses", [1, 2])
def test_equals_the_xylosim_recorded(synapses: int) -> None:
    found = ours(synapses)
    for name, wanted in RECORDED[str(synapses)].items():
        assert x.digest(found[name]) == wanted, name
    assert found["out"].any() and found["spikes"].max() > 1


@pytest.mark.parametrize("synapses", [1, 2])
def test_equals_the_xylosim_installed(synapses: int) -> None:
    pytest.importorskip("xylosim")
    found = ours(synapses)
    for name, wanted in x.xylosim(synapses).items():
        assert (found[name] == wanted).all(), name


def test_membranes_of_the_readouts() -> None:
    found = ours(2, "membrane")
    assert x.digest(found["out"]) == RECORDED["2"]["v_out"]


@pytest.mark.parametrize(
    "change, says",
    [
        ({"aliases": ((1,),)}, "neurons with aliases"),
        ({"dash_syn_2": None}, "dash_syn_2 is missing"),
        ({"dash_mem": np.full(x.HIDDEN, 16)}, "dash_mem must lie in 1..15"),
        ({"threshold": np.zeros(x.HIDDEN)}, "v_th must lie in 1..32767"),
        ({"weight_shift_rec": 8}, "weight_shift_rec is 8"),
        ({"weights_out": np.zeros((x.HIDDEN, x.OUTPUTS))}, "weights_out are all 0"),
        ({"weights_in": np.full((x.INPUTS, x.HIDDEN, 2), 128)}, "weights_in leave 8 bits"),
        ({"weights_in": np.full((x.INPUTS, x.HIDDEN, 2), 0.5)}, "not made of integers"),
        ({"bias_out": np.zeros(1)}, r"bias_out has shape \(1,\)"),
    ],
)
def test_refused(change: dict, says: str) -> None:
    with pytest.raises(UnsupportedModel, match=says):
        import_xylo(Xylo(**{**x.parameters(2), **change}), time())


def test_synapses_that_could_be_clamped() -> None:
    """A warning wherever XyloSim could differ, and none where it cannot."""
    given = x.parameters(2)
    says = "synapse 2 of 1 of 12 neurons could leave 16 bits"
    for factor, wanted in ((1, 1), (0, 0)):
        small = {k: given[k] * 0 for k in ("weights_in", "weights_rec")}
        small["weights_in"] = small["weights_in"].copy()
        small["weights_in"][0, 3, 1] = 127 * factor
        small |= {
            "weight_shift_in": 7,
            "dash_syn_2": np.full(x.HIDDEN, 4),
            "dash_syn": given["dash_syn"],
        }
        small["weights_out"] = np.sign(given["weights_out"])
        made = import_xylo(Xylo(**{**given, **small}), time())
        assert [w for w in made.warnings if says in w] == list(made.warnings)
        assert len(made.warnings) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("synapses", [1, 2])
def test_a_circuit(synapses: int, tmp_path) -> None:
    """Every spike and state of XyloSim, in RTL under stalls."""
    made = import_xylo(Xylo(**x.parameters(synapses)), time(steps=8))
    design = codesign.generate(made.scan, tmp_path / "build", smallest=True)
    windows = x.inputs().reshape(-1, 8, x.INPUTS).astype(np.float32)
    for given in (windows, None):
        report = design.verify(given, random_frames=8, cocotb=False)
        assert report.ok and not sum(e.mismatches for e in report.evidence)


def test_the_comparison_can_fail() -> None:
    """One decay of the second synapse differs by one."""
    net = Xylo(**x.parameters(2))
    assert net.dash_syn_2 is not None
    dash = net.dash_syn_2.copy()
    dash[0] += 1
    made = import_xylo(replace(net, dash_syn_2=dash), time())
    seen = run_steps(made.step, x.inputs())["synapse2.v_next"]
    assert x.digest(np.asarray(seen).astype(np.int64)) != RECORDED["2"]["i2"]
