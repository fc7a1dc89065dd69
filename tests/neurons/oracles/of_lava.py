"""Lava's ``PyLifModelBitAcc``: its own methods, step by step (lava-nc 0.10.0, Python 3.10)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from cases import Case


def files(where: Path) -> list[Path]:
    """Sources that are run."""
    from lava.proc.lif import models

    return [Path(models.__file__)]


def run(case: Case, where: Path) -> dict[str, np.ndarray]:
    """All that comes out, int64 [steps, neurons] each."""
    from lava.proc.lif.models import PyLifModelBitAcc

    p, x = case.parameters(), case.inputs()
    model = PyLifModelBitAcc({})
    model.u, model.v = (np.zeros(case.neurons, np.int32) for _ in "uv")
    model.du, model.dv = p["du"].astype(np.int32), p["dv"].astype(np.int32)
    model.vth = p["vth"].astype(np.int32)
    model.bias_mant, model.bias_exp = p["bias"].astype(np.int16), np.zeros(case.neurons, np.int16)
    model.scale_bias()
    model.scale_threshold()
    out: dict[str, list[np.ndarray]] = {"spikes": [], "v": [], "i": []}
    for t in range(case.steps):  # the body of run_spk, whose ports need Lava's processes
        model.subthr_dynamics(activation_in=x[t].astype(np.int32))
        spikes = model.spiking_activation()
        model.reset_voltage(spike_vector=spikes)
        for name, codes in (("spikes", spikes), ("v", model.v), ("i", model.u)):
            out[name].append(codes.astype(np.int64))
    return {name: np.stack(codes) for name, codes in out.items()}
