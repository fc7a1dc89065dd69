"""Which preset a neuron is, if it is one: the preset is made of its parameters and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from functools import partial

import numpy as np

from codesign.neurons import presets
from codesign.neurons.base import Neuron
from codesign.neurons.leak import Leak
from codesign.neurons.lif import Lif


def preset_of(model: Neuron) -> str:
    """The preset that computes what ``model`` does, at whatever scale; "" where there is none.

    snnTorch's cells other than ``Leaky`` are ``snntorch Synaptic`` and so on. Whether spikes or
    the membrane are put out makes no difference.
    """
    if not isinstance(model, Lif):
        return ""
    try:
        plain = _unscaled(model)
    except ValueError:  # its words are too far apart for any preset
        return ""
    return next((name for name, make in _candidates(plain) if _is(plain, make)), "")


def _unscaled(model: Lif) -> Lif:
    """The same integers, where a step of the membrane is worth 1."""
    by, syn, ada = model.word.frac, model.synapse, model.adaptation
    return replace(
        model,
        word=replace(model.word, frac=0),
        input_frac=model.input_frac - by,
        synapse=syn and replace(syn, word=replace(syn.word, frac=syn.word.frac - by)),
        adaptation=ada and replace(ada, word=replace(ada.word, frac=ada.word.frac - by)),
    )


def _candidates(x: Lif) -> Iterator[tuple[str, Callable[[], Lif]]]:
    """Every preset, with the parameters that would make it ``x``; making one may fail."""
    decay, theta, syn = x.leak.amount, x.theta, x.synapse
    snntorch = partial(
        presets.snntorch, word=x.word, leak=x.leak, theta=theta, reset=x.reset,
        input_frac=x.input_frac, rounding=x.rounding, synapse=(syn.word, syn.leak) if syn else None,
    )  # fmt: skip
    for cell in presets.KEEPS_INPUT:
        for delay in (True, False):
            late = "default" if delay else "no_delay"
            name = f"snntorch_{late}" if cell == "Leaky" else f"snntorch {cell}, {late}"
            yield name, partial(snntorch, cell, reset_delay=delay)
    beta = None if x.leak.kind == "none" else decay
    yield "hls4ml", lambda: presets.hls4ml(
        x.word.bits, 0, theta, beta=beta, beta_frac=x.leak.frac, reset=x.reset,
        input_frac=x.input_frac,
    )  # fmt: skip
    yield (
        "spiker",
        lambda: presets.spiker(
            x.word.bits, int(decay[0]), theta, reset=x.reset, reset_value=x.reset_value
        ),
    )
    yield "tinyodin", lambda: presets.tinyodin(decay, theta)
    levels, bias = x.spike_levels, x.bias
    yield "xylo_current", lambda: presets.xylo_current(decay)
    yield "xylo_membrane", lambda: presets.xylo_membrane(decay, theta, bias=bias, max_spikes=levels)
    if syn is None:
        return
    current = syn.leak.amount
    yield "xylo", lambda: presets.xylo(decay, current, theta, bias=bias, max_spikes=levels)
    yield "loihi", lambda: presets.loihi(
        4095 - current, 4096 - decay, theta >> 6, bias=bias, refractory=x.refractory,
        resets_current=syn.reset,
    )  # fmt: skip


def _is(x: Lif, make: Callable[[], Lif]) -> bool:
    try:
        preset = make()
    except ValueError:  # these parameters are not the preset's
        return False
    if x.input_frac > preset.input_frac:  # the preset takes coarser inputs only
        return False
    if preset.output == "membrane" and x.output == "spikes":
        return False
    return _equal(_canonical(x), _canonical(replace(preset, output=x.output)))


def _canonical(x: Lif) -> Lif:
    """What makes no difference, alike."""
    first = (x.synapse.word if x.synapse else x.word).frac
    lossless = x.input_frac <= first <= x.word.frac
    zero = np.zeros(1, np.int64)
    x = replace(
        x,
        rounding="exact" if lossless else x.rounding,
        refractory_mode=x.refractory_mode if x.refractory else "silent",
        reset_value=x.reset_value if x.reset == "value" else zero,
        leak=Leak("none", zero) if x.leak.kind == "none" else x.leak,
        input_frac=0,
    )
    if x.reset != "none" or x.reset_vs_leak == "instead":
        return x
    early = x.reset_timing == "same" and x.reset_vs_leak == "before"  # the leak comes last
    if x.output == "membrane":  # nobody sees what it would fire
        x = replace(x, theta=zero, compare="ge", spike_levels=1)
    return replace(
        x,
        reset_timing="same",
        reset_vs_leak="before" if early else "after",
        reset_vs_input="before",
    )


def _equal(a: object, b: object) -> bool:
    """Of two values in frozen dataclasses; parameters that are alike for all channels are one."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        try:
            return bool((np.broadcast_arrays(a, b)[0] == b).all())
        except ValueError:
            return False
    if type(a) is not type(b):
        return False
    if is_dataclass(a):
        return all(_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return a == b
