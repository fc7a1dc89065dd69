"""SynSense's XyloSim, ``xylosim.v2.XyloLayer`` (xylosim 0.1.3, C++): hidden neurons, each with an
input channel of its own for each synapse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from cases import Case


def files(where: Path) -> list[Path]:
    """Sources that were compiled; ``where``: the unpacked source distribution."""
    return sorted((where / "src/v2/cpp").glob("Xylo*.cpp"))


def run(case: Case, where: Path) -> dict[str, np.ndarray]:
    """All that comes out, int64 [steps, neurons] each."""
    from xylosim.v2 import XyloLayer, XyloSynapse

    p, n = case.parameters(), case.neurons
    kinds = [k for k in ("", "2") if f"weight{k}" in p]
    # the layer keeps bare pointers: these must outlive it
    synapses = [
        [XyloSynapse(j, index, int(p[f"weight{k}"][j]))]
        for index, k in enumerate(kinds)
        for j in range(n)
    ]
    layer = XyloLayer(
        synapses_in=synapses,
        synapses_rec=[[] for _ in range(n)],
        synapses_out=[[] for _ in range(n)],
        aliases=[[] for _ in range(n)],
        threshold=p["v_th"].tolist(), threshold_out=[],
        has_bias=True, bias=p["bias"].tolist(), bias_out=[],
        weight_shift_inp=case.fixed["shift"], weight_shift_rec=0, weight_shift_out=0,
        dash_mem=p["dash_mem"].tolist(), dash_mem_out=[],
        dash_syns=np.stack([p[f"dash_syn{k}"] for k in kinds], 1).tolist(), dash_syns_out=[],
        name="oracle",
    )  # fmt: skip
    layer.evolve(np.concatenate([case.inputs("x" + k) for k in kinds], 1).tolist())
    traces = {"v": layer.rec_v_mem, "i": layer.rec_i_syn}
    if len(kinds) > 1:
        traces["i2"] = layer.rec_i_syn2
    out = {name: np.array(trace, np.int64).T for name, trace in traces.items()}
    return {"spikes": np.array(layer.rec_recurrent_spikes, np.int64), **out}
