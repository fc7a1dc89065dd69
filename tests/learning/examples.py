"""Layers that learn, for tests."""

import numpy as np

from codesign.learning import LearningLayer, LearningNet, Rival, Tess, fast_sigmoid
from codesign.learning.rival import random_signs
from codesign.neurons import Leak, Lif, Word

CLAMP = "sat_step"


def lif(frac=9, theta=None, bits=None, **choices):
    """snnTorch's ordinary neuron with a shift leak: the reset comes in the next step."""
    fields = {
        "word": Word(bits or frac + 8, frac, True, CLAMP),
        "leak": Leak("shift_floor", np.array([2])),
        "theta": np.array([1 << frac]) if theta is None else np.asarray(theta),
        "compare": "gt", "reset": "subtract", "reset_timing": "next", "reset_vs_leak": "after",
        "reset_vs_input": "before", "input_frac": frac, "rounding": "floor", "spike_levels": 1,
        "refractory": 0, "refractory_mode": "hold", "output": "spikes",
    }  # fmt: skip
    return Lif(**{**fields, **choices})


def tess(frac=9, rate=6, **choices):
    """Traces of 6 bits, Psi of 5, factors of 8, weights of ``frac + 4``."""
    fields = {
        "pre": Word(6, 3, False, CLAMP), "pre_leak": Leak("mul_floor", np.array([6]), 3),
        "psi": fast_sigmoid(
            Word(5, 4, False, CLAMP), theta=1 << frac, slope=4.0, entries=32, shift=max(0, frac - 3)
        ),
        "post": Word(6, 4, False, CLAMP), "post_leak": Leak("mul_floor", np.array([2]), 3),
        "signal": Word(3, 0, True, CLAMP), "factor": Word(8, 4, True, CLAMP),
        "weight": Word(frac + 4, frac, True, CLAMP),
        "pre_shift": 0, "post_shift": 2, "rate_shift": rate, "rounding": "half_even",
    }  # fmt: skip
    return Tess(**{**fields, **choices})


def digits_net(hidden=0):
    """64-10 or 64-``hidden``-10, and weights to begin with."""
    readout = Rival(np.eye(10, dtype=np.int64), 3)
    rng = np.random.default_rng(0)
    if hidden:
        layers = (
            LearningLayer(lif(), tess(rate=7), 64, hidden),
            LearningLayer(lif(), tess(rate=6), hidden, 10),
        )
        signals = (Rival(random_signs(hidden, 10, 1), 16), readout)
    else:
        layers, signals = (LearningLayer(lif(), tess(rate=7), 64, 10),), (readout,)
    weights = [rng.integers(-85, 129, (n.inputs, n.outputs)) for n in layers]
    return LearningNet(layers, signals), weights


def digits(steps=8):
    """(spikes int64 [1797, steps, 64], classes): evenly spaced spikes, a pixel's share of 16."""
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = data.data.astype(np.int64)
    spikes = np.stack([(n + 1) * pixels // 16 - n * pixels // 16 for n in range(steps)], axis=1)
    order = np.random.default_rng(0).permutation(len(pixels))
    return spikes[order], data.target[order]
