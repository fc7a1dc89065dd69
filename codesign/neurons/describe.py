"""Neurons in words: what a step does, one phrase for each choice that makes a difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.neurons.alpha import Alpha
from codesign.neurons.base import Neuron
from codesign.neurons.egru import Egru
from codesign.neurons.leak import PRODUCTS, Leak
from codesign.neurons.lif import Lif
from codesign.neurons.snu import Snu
from codesign.neurons.table import Table
from codesign.neurons.word import Word


@dataclass(frozen=True)
class Description:
    """``kind``: what the model is called (``LIF``, ``adaptive CUBA``, ...); ``traits``: phrases by
    what they are about, in real values, in the order of a step."""

    kind: str
    traits: dict[str, str]


def describe(model: Neuron) -> Description:
    """``model`` in words; ``ValueError`` for one of a class unknown here."""
    if isinstance(model, Lif):
        return Description(_lif_kind(model), _lif(model))
    if isinstance(model, Alpha):
        return Description("alpha", _alpha(model))
    if isinstance(model, Snu):
        ends = ("-a" if model.somatic else "") + ("-o" if model.axonic else "")
        return Description(f"{'sSNU' if model.soft else 'SNU'}{ends}", _snu(model))
    if isinstance(model, Egru):
        return Description("EGRU", _egru(model))
    raise ValueError(f"no words for {type(model).__name__}")


def word_label(word: Word) -> str:
    """Bits, worth and overflow of a word of state: ``int12 x 2^-5, sat_step``."""
    scale = f" x 2^{-word.frac}" if word.frac else ""
    return f"{'int' if word.signed else 'uint'}{word.bits}{scale}, {word.overflow}"


def span(codes: np.ndarray, frac: int) -> str:
    """Codes worth ``2**-frac`` as a number, or as the least and greatest of several."""
    low, high = (float(np.ldexp(float(end), -frac)) for end in (codes.min(), codes.max()))
    return f"{low:.6g}" if low == high else f"{low:.6g}..{high:.6g}"


def leak_text(leak: Leak, x: str, frac: int) -> str:
    """What ``leak`` makes of ``x``, whose codes are worth ``2**-frac``."""
    if leak.kind == "none":
        return x
    if leak.kind in PRODUCTS:
        return f"{span(leak.amount, leak.frac)} {x} ({leak.kind}, {leak.frac} bits)"
    if leak.kind == "linear":
        return f"{x} toward 0 by {span(leak.amount, frac)} (linear)"
    least = ", at least 1" if leak.kind == "shift_min1" else ""
    shifted = x if " " not in x else f"({x})"
    return f"{x} - ({shifted} >> {span(leak.amount, 0)}{least}) ({leak.kind})"


def _lif_kind(x: Lif) -> str:
    leaks = x.leak.kind != "none"
    if x.output == "membrane" and x.reset == "none":
        kind = "leaky integrator" if leaks else "integrator"
        return f"current-based {kind}" if x.synapse else kind
    kind = "LIF" if leaks else "IF"
    return f"{'adaptive ' if x.adaptation else ''}{'CUBA ' if x.synapse else ''}{kind}"


def _lif(x: Lif) -> dict[str, str]:
    frac, found = x.word.frac, {}
    if syn := x.synapse:
        sees = {"new": "the new i", "previous": "i of the step before", "leaked": "the new i"}
        inside = "i + input" if syn.order == "leaked" else "i"
        found["synapse"] = f"i = {leak_text(syn.leak, inside, syn.word.frac)}" + (
            "" if syn.order == "leaked" else " + input"
        )
        found["charge"] = f"{sees[syn.order]} ({syn.order})"
        if syn.reset:
            found["charge"] += ", cleared by a spike"
    found["leak"] = "none" if x.leak.kind == "none" else leak_text(x.leak, "v", frac)
    if x.bias.any():
        found["bias"] = span(x.bias, frac)
    if x.v0.any():
        found["starts at"] = span(x.v0, frac)
    first = syn.word.frac if syn else frac
    if x.input_frac > first or first > frac:
        found["rounding"] = x.rounding
    if x.output == "spikes" or x.reset != "none":
        found["threshold"] = _threshold(x.compare, x.theta, frac, bool(x.adaptation))
    if x.spike_levels > 1:
        found["spikes"] = f"up to {x.spike_levels} a step, one for each multiple"
    if ada := x.adaptation:
        found["adaptation"] = (
            f"a = {leak_text(ada.leak, 'a', frac)} + {span(ada.jump, frac)} for a spike"
        )
    found["reset"] = _reset(x)
    if x.refractory:
        held = "v held" if x.refractory_mode == "hold" else "v goes on"
        found["refractory"] = f"{x.refractory} steps, {held} ({x.refractory_mode})"
    else:
        found["refractory"] = "none"
    found["puts out"] = x.output
    return found


def _threshold(compare: str, theta: np.ndarray, frac: int, adapts: bool = False) -> str:
    sign = ">" if compare == "gt" else ">="
    return f"v {sign} {span(theta, frac)}{' + a' if adapts else ''} ({compare})"


def _reset(x: Lif) -> str:
    if x.reset == "none":
        return "none"
    what = {"zero": "to 0", "subtract": "subtracts the threshold"}.get(
        x.reset, f"to {span(x.reset_value, x.word.frac)}"
    )
    leak = {"before": "before", "after": "after", "instead": "instead of"}[x.reset_vs_leak]
    if x.reset_timing == "same":
        last = ", the leak after it" if x.reset_vs_leak == "before" else ""
        return f"{what}, in the step of the spike (same){last}"
    timing = "in the next step" if x.reset_timing == "next" else "at once, as the next step sees"
    order = f"{leak} the leak"
    order += ", after the input" if x.reset_vs_input == "after" else ""
    return f"{what}, {timing} ({x.reset_timing}), {order}"


def _alpha(x: Alpha) -> dict[str, str]:
    found = {
        "currents": f"e = {leak_text(x.rise, 'e', x.synapse.frac)} + input, "
        f"h = {leak_text(x.fall, 'h', x.synapse.frac)} - input",
        "membrane": f"v = {span(x.gain, x.gain_frac)} (e + h), {x.gain_rounding}",
    }
    if x.input_frac > x.synapse.frac:
        found["rounding"] = x.rounding
    if x.output == "spikes" or x.reset != "none":
        found["threshold"] = _threshold(x.compare, x.theta, x.word.frac)
    resets = {"zero": "all to 0", "subtract": "the threshold from e, h to 0"}
    found["reset"] = "none"
    if x.reset != "none":
        found["reset"] = f"{resets[x.reset]}, in the next step (next)"
    return {**found, "refractory": "none", "puts out": x.output}


def _snu(x: Snu) -> dict[str, str]:
    found = {
        "leak": leak_text(x.leak, "s (1 - y)", x.word.frac),
        "g": x.g,
        "threshold": _threshold(x.compare, x.theta, x.word.frac).replace("v ", "s ", 1),
        "reset": "s times 1 - y of the step before, before the leak",
    }
    lossy = x.input_frac > x.word.frac or x.soft is not None
    if lossy:
        found["rounding"] = x.rounding
    if x.soft:
        found["threshold"] = f"y = table of s - {span(x.theta, x.word.frac)}, {_table(x.soft)}"
    if b := x.somatic:
        gain, beta = span(b.gain, b.gain_frac), span(b.beta, b.beta_frac)
        found["somatic"] = (
            f"b = {leak_text(b.leak, 'b', b.word.frac)} + {gain} adapt, {beta} b onto s - theta"
        )
    if x.axonic:
        found["axonic"] = f"y times a table of gate, {_table(x.axonic.table)}"
    return {**found, "refractory": "none"}


def _egru(x: Egru) -> dict[str, str]:
    return {
        "sigma": _table(x.sigma),
        "tau": _table(x.tau),
        "rounding": x.rounding,
        "threshold": _threshold(x.compare, x.theta, x.word.frac).replace("v ", "c ", 1),
        "reset": "subtracts the threshold, in the step of the event (same)",
        "puts out": "c where it passes the threshold, else 0",
    }


def _table(table: Table) -> str:
    return f"{len(table.codes)} entries of {table.frac} fraction bits"
