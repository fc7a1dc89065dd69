"""Neurons by name, for ``--neuron``: the network's own, or a preset at the network's scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from codesign.errors import UsageError
from codesign.neurons import Leak, Lif, Word, presets
from codesign.train.spiking.build import NetConfig, exact_code


def _framework(preset: Callable[..., Lif]) -> Callable[[NetConfig], Lif]:
    """snnTorch's neurons: their formats are ours to choose."""

    def build(config: NetConfig) -> Lif:
        frac = config.weight_frac + config.extra_frac
        word = Word(config.state_bits, frac, True, "sat_step")
        theta = np.array([round(config.threshold * 2.0**frac)])
        leak = Leak("mul_floor", np.array([exact_code(config.decay, 4, "decay")]), 4)
        return preset(word, leak, theta, reset="subtract", input_frac=frac, rounding="floor")

    return build


def _codes(config: NetConfig) -> np.ndarray:
    """The threshold in steps of the weights."""
    return np.array([max(1, round(config.threshold * 2.0**config.weight_frac))])


def _shift(config: NetConfig) -> int:
    """k of the decay ``1 - 2**-k``."""
    known = {1.0 - 2.0**-k: k for k in range(1, 9)}
    if config.decay not in known:
        nearest = min(known, key=lambda decay: abs(decay - config.decay))
        raise UsageError(
            f"decay = {config.decay} is no 1 - 2^-k with k = 1..8, as a shift needs it",
            hint=f"the nearest is {nearest}",
        )
    return known[config.decay]


def _loihi(config: NetConfig) -> Lif:
    dv = np.array([4096 - exact_code(config.decay, 12, "decay")])
    # No current decays slower than at once: du = 4095 leaves nothing of u.
    return presets.loihi(
        np.array([4095]), dv, _codes(config), bias=np.zeros(1), refractory=0, resets_current=False
    )


def _xylo(config: NetConfig) -> Lif:
    k = np.array([_shift(config)])
    one = np.array([1])
    return presets.xylo(k, one, _codes(config), bias=np.zeros(1), max_spikes=31)


def _hls4ml(config: NetConfig) -> Lif:
    frac = config.weight_frac + config.extra_frac
    theta = np.array([round(config.threshold * 2.0**frac)])
    beta = np.array([exact_code(config.decay, 4, "decay")])
    return presets.hls4ml(
        config.state_bits, frac, theta, beta=beta, beta_frac=4, reset="subtract", input_frac=frac
    )


def _spiker(config: NetConfig) -> Lif:
    bits, k = config.state_bits, _shift(config)
    return presets.spiker(bits, k, _codes(config), reset="subtract", reset_value=np.zeros(1))


def _tinyodin(config: NetConfig) -> Lif:
    theta = _codes(config)
    return presets.tinyodin(np.maximum(1, theta // 8), theta)


NEURONS: dict[str, Callable[[NetConfig], Lif]] = {
    "snntorch_default": _framework(presets.snntorch_default),
    "snntorch_no_delay": _framework(presets.snntorch_no_delay),
    "loihi": _loihi,
    "xylo": _xylo,
    "hls4ml": _hls4ml,
    "spiker": _spiker,
    "tinyodin": _tinyodin,
}


def neuron(name: str, config: NetConfig) -> Lif | None:
    """The preset called ``name`` for weights worth ``2**-weight_frac``; None for ``lif``, the
    network's own. ``UsageError`` lists the names."""
    if name == "lif":
        return None
    if name not in NEURONS:
        known = ", ".join(["lif", *sorted(NEURONS)])
        raise UsageError(f"unknown neuron '{name}'", hint=f"known: {known}")
    return at_scale(NEURONS[name](config), config.weight_frac)


def at_scale(model: Lif, frac: int) -> Lif:
    """The same integers, where a step of the input is worth ``2**-frac``."""
    by = frac - model.input_frac
    word = replace(model.word, frac=model.word.frac + by)
    syn, ada = model.synapse, model.adaptation
    return replace(
        model,
        word=word,
        input_frac=frac,
        synapse=syn and replace(syn, word=replace(syn.word, frac=syn.word.frac + by)),
        adaptation=ada and replace(ada, word=replace(ada.word, frac=ada.word.frac + by)),
    )
