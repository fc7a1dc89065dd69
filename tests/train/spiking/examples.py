"""Neurons that several tests start from."""

from __future__ import annotations

import numpy as np

from codesign.neurons import Leak, Lif, Word


def lif_of(word: Word, theta: np.ndarray, input_frac: int, decay: int = 14) -> Lif:
    """Decays by ``decay / 16`` a step and resets softly in the step in which it fires."""
    return Lif(
        word=word,
        leak=Leak("mul_floor", np.array([decay]), 4),
        theta=theta,
        compare="ge",
        reset="subtract",
        reset_timing="same",
        reset_vs_leak="after",
        reset_vs_input="before",
        input_frac=input_frac,
        rounding="exact",
        spike_levels=1,
        refractory=0,
        refractory_mode="silent",
        output="spikes",
    )
