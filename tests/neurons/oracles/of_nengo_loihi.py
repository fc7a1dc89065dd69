"""nengo-loihi's emulator, ``CompartmentState`` (nengo-loihi 1.1.0)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from cases import Case


def files(where: Path) -> list[Path]:
    """Sources that are run."""
    from nengo_loihi.builder import discretize
    from nengo_loihi.emulator import interface

    return [Path(interface.__file__), Path(discretize.__file__)]


def run(case: Case, where: Path) -> dict[str, np.ndarray]:
    """All that comes out, int64 [steps, neurons] each."""
    from nengo_loihi.block import LoihiBlock
    from nengo_loihi.emulator.interface import BlockInfo, CompartmentState

    p, x = case.parameters(), case.inputs()
    block = LoihiBlock(case.neurons)
    own = block.compartment
    own.scale_u = own.scale_v = False
    own.decay_u, own.decay_v = p["du"].astype(np.int32), p["dv"].astype(np.int32)
    own.vth, own.bias = (p["vth"] << 6).astype(np.int32), p["bias"].astype(np.int32)
    own.refract_delay = np.full(case.neurons, int(case.fixed["refractory"]) + 1, np.int32)
    own.vmin, own.vmax = -(2**23) + 1, 2**23 - 1
    own.enable_noise = np.zeros(case.neurons, bool)
    state = CompartmentState(BlockInfo([block]), strict=False)
    rng, out = np.random.RandomState(0), {"spikes": [], "v": [], "i": []}
    for t in range(case.steps):
        state.input[0] = x[t] << 6
        state.update(rng)
        for name, codes in (("spikes", state.spiked), ("v", state.voltage), ("i", state.current)):
            out[name].append(codes.astype(np.int64))
    return {name: np.stack(codes) for name, codes in out.items()}
