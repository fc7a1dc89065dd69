"""A random network for Xylo, its input, and XyloSim's answer, which

    python tests/frontend/xylo_network.py > tests/frontend/xylo_recorded.json

records (xylosim 0.1.3; see tests/neurons/oracles/README.md)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

INPUTS, HIDDEN, OUTPUTS, STEPS = 6, 12, 4, 160


def _raw(seed: int, lo: int, hi: int, *shape: int) -> np.ndarray:
    """int64 from the raw stream of a PCG64, which numpy keeps the same for ever."""
    raw = np.random.PCG64(seed).random_raw(int(np.prod(shape)))
    return lo + (raw >> np.uint64(8)).astype(np.int64).reshape(shape) % (hi - lo + 1)


def parameters(synapses: int) -> dict[str, Any]:
    """Everything a :class:`codesign.frontend.xylo.Xylo` has."""
    given: dict[str, Any] = {
        "weights_in": _raw(1, -40, 60, INPUTS, HIDDEN, synapses),
        "weights_rec": _raw(2, -8, 5, HIDDEN, HIDDEN, synapses),
        "weights_out": _raw(3, -14, 24, HIDDEN, OUTPUTS),
        "dash_mem": _raw(4, 1, 6, HIDDEN),
        "dash_mem_out": _raw(5, 1, 6, OUTPUTS),
        "dash_syn": _raw(6, 1, 4, HIDDEN),
        "dash_syn_out": _raw(7, 1, 3, OUTPUTS),
        "threshold": _raw(8, 50, 900, HIDDEN),
        "threshold_out": _raw(9, 50, 900, OUTPUTS),
        "bias_hidden": _raw(10, -400, 80, HIDDEN),
        "bias_out": _raw(11, -300, 80, OUTPUTS),
        "weight_shift_in": 1,
        "weight_shift_rec": 0,
        "weight_shift_out": 1,
    }
    return given | ({"dash_syn_2": _raw(12, 1, 4, HIDDEN)} if synapses == 2 else {})


def inputs() -> np.ndarray:
    """Spikes int64 [STEPS, INPUTS], some of them many."""
    return _raw(13, 0, 1, STEPS, INPUTS) * _raw(14, 0, 4, STEPS, INPUTS)


def digest(codes: np.ndarray) -> str:
    """SHA-256 of int64 [steps, neurons]."""
    return hashlib.sha256(np.ascontiguousarray(codes, dtype="<i8").tobytes()).hexdigest()


def xylosim(synapses: int) -> dict[str, np.ndarray]:
    """Every spike and state, int64 [steps, neurons] each."""
    from xylosim.v2 import XyloLayer, XyloSynapse

    p = parameters(synapses)

    def to(weights: np.ndarray) -> list[list[Any]]:
        """Synapses of each source, for weights [from, to, synapse]."""
        return [
            [XyloSynapse(j, k, int(w)) for j, row in enumerate(source) for k, w in enumerate(row)]
            for source in weights
        ]

    # the layer keeps bare pointers: these must outlive it
    into, rec, out = (
        to(w) for w in (p["weights_in"], p["weights_rec"], p["weights_out"][..., None])
    )
    dashes = [p[k] for k in ("dash_syn", "dash_syn_2") if k in p]
    layer = XyloLayer(
        synapses_in=into, synapses_rec=rec, synapses_out=out, aliases=[[] for _ in range(HIDDEN)],
        threshold=p["threshold"].tolist(), threshold_out=p["threshold_out"].tolist(),
        has_bias=True, bias=p["bias_hidden"].tolist(), bias_out=p["bias_out"].tolist(),
        weight_shift_inp=p["weight_shift_in"], weight_shift_rec=p["weight_shift_rec"],
        weight_shift_out=p["weight_shift_out"], dash_mem=p["dash_mem"].tolist(),
        dash_mem_out=p["dash_mem_out"].tolist(), dash_syns=np.stack(dashes, 1).tolist(),
        dash_syns_out=p["dash_syn_out"][:, None].tolist(), name="oracle",
    )  # fmt: skip
    out_spikes = layer.evolve(inputs().tolist())
    traces = {"v": layer.rec_v_mem, "i": layer.rec_i_syn, "v_out": layer.rec_v_mem_out,
              "i_out": layer.rec_i_syn_out}  # fmt: skip
    traces |= {"i2": layer.rec_i_syn2} if synapses == 2 else {}
    found = {name: np.array(trace, np.int64).T for name, trace in traces.items()}
    spikes = {"spikes": layer.rec_recurrent_spikes, "out": out_spikes}
    return found | {name: np.array(s, np.int64) for name, s in spikes.items()}


if __name__ == "__main__":
    found = {s: {n: digest(c) for n, c in xylosim(s).items()} for s in (1, 2)}
    print(json.dumps(found, indent=1))
