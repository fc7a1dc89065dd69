"""``Lif``, version 1: :class:`codesign.neurons.Lif` as attributes and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from codesign.exchange.attributes import Rule, Value
from codesign.exchange.schema import Parameter, Schema, register, unchecked
from codesign.neurons import LEAKS, OVERFLOWS, Adaptation, Leak, Lif, Neuron, Synapse, Word
from codesign.neurons.leak import PRODUCTS
from codesign.neurons.lif import CHOICES, SYN_ORDERS

_FLAG = range(2)
_BITS, _FRAC, _LEAK_FRAC = range(1, 25), range(-64, 65), range(25)

_ALWAYS: dict[str, Rule] = {
    "state_bits": _BITS,
    "state_frac": _FRAC,
    "signed": _FLAG,
    "overflow": OVERFLOWS,
    "input_frac": _FRAC,
    "leak": LEAKS,
    "leak_frac_bits": _LEAK_FRAC,
    **CHOICES,
    "spike_levels": range(1, 256),
    "refractory": range(256),
    "synapse": _FLAG,
    "adaptation": _FLAG,
}
_SYNAPSE: dict[str, Rule] = {
    "syn_bits": _BITS,
    "syn_frac": _FRAC,
    "syn_signed": _FLAG,
    "syn_overflow": OVERFLOWS,
    "syn_leak": LEAKS,
    "syn_leak_frac_bits": _LEAK_FRAC,
    "syn_order": SYN_ORDERS,
    "syn_reset": _FLAG,
}
_ADAPTATION: dict[str, Rule] = {
    "adapt_bits": _BITS,
    "adapt_signed": _FLAG,
    "adapt_overflow": OVERFLOWS,
    "adapt_leak": LEAKS,
    "adapt_leak_frac_bits": _LEAK_FRAC,
}


@register
class LifSchema(Schema):
    """What the attributes mean is the docstring of :class:`codesign.neurons.Lif`."""

    op_type = "Lif"
    model = Lif

    def rules(self, found: Mapping[str, Value]) -> dict[str, Rule]:
        return {
            **_ALWAYS,
            **(_SYNAPSE if found.get("synapse") == 1 else {}),
            **(_ADAPTATION if found.get("adaptation") == 1 else {}),
        }

    def attributes(self, model: Neuron) -> dict[str, Value]:
        assert isinstance(model, Lif)
        found: dict[str, Value] = {
            **_word("state", model.word, "signed", "overflow"),
            "input_frac": model.input_frac,
            **_leak("", model.leak),
            **{name: getattr(model, name) for name in CHOICES},
            "spike_levels": model.spike_levels,
            "refractory": model.refractory,
            "synapse": int(model.synapse is not None),
            "adaptation": int(model.adaptation is not None),
        }
        if syn := model.synapse:
            found |= _word("syn", syn.word, "syn_signed", "syn_overflow")
            found |= _leak("syn_", syn.leak)
            found |= {"syn_order": syn.order, "syn_reset": int(syn.reset)}
        if ada := model.adaptation:
            if ada.word.frac != model.word.frac:
                raise ValueError("a threshold's adaptation has the fraction bits of the membrane")
            word = _word("adapt", ada.word, "adapt_signed", "adapt_overflow")
            found |= {name: value for name, value in word.items() if name != "adapt_frac"}
            found |= _leak("adapt_", ada.leak)
        return found

    def parameters(self, attributes: Mapping[str, Value]) -> list[Parameter]:
        frac = int(attributes["state_frac"])
        found = [Parameter("theta", frac), Parameter("bias", frac, 0), Parameter("v0", frac, 0)]
        if attributes["reset"] == "value":
            found.append(Parameter("reset_value", frac, 0))
        found += _amount("leak", "leak", "leak_frac_bits", frac, attributes)
        if attributes["synapse"]:
            own = int(attributes["syn_frac"])
            found += _amount("synapse_leak", "syn_leak", "syn_leak_frac_bits", own, attributes)
        if attributes["adaptation"]:
            bits = "adapt_leak_frac_bits"
            found += _amount("adaptation_leak", "adapt_leak", bits, frac, attributes)
            found.append(Parameter("jump", frac))
        return found

    def codes(self, model: Neuron) -> dict[str, np.ndarray]:
        assert isinstance(model, Lif)
        return model.parameters()

    def build(self, attributes: Mapping[str, Value], codes: Mapping[str, np.ndarray]) -> Neuron:
        at = attributes

        def word(prefix: str, frac: str, signed: str, overflow: str) -> Word:
            bits = int(at[f"{prefix}_bits"])
            return Word(bits, int(at[frac]), bool(at[signed]), str(at[overflow]))

        def leak(prefix: str, name: str) -> Leak:
            amount = codes.get(name, np.zeros(1, np.int64))
            return Leak(str(at[f"{prefix}leak"]), amount, int(at[f"{prefix}leak_frac_bits"]))

        synapse = adaptation = None
        if at["synapse"]:
            own = word("syn", "syn_frac", "syn_signed", "syn_overflow")
            order = str(at["syn_order"])
            synapse = Synapse(own, leak("syn_", "synapse_leak"), order, bool(at["syn_reset"]))
        if at["adaptation"]:
            own = word("adapt", "state_frac", "adapt_signed", "adapt_overflow")
            adaptation = Adaptation(own, leak("adapt_", "adaptation_leak"), codes["jump"])
        return Lif(
            word=word("state", "state_frac", "signed", "overflow"),
            leak=leak("", "leak"),
            theta=codes["theta"],
            bias=codes["bias"],
            v0=codes["v0"],
            reset_value=codes.get("reset_value", np.zeros(1, np.int64)),
            input_frac=int(at["input_frac"]),
            spike_levels=int(at["spike_levels"]),
            refractory=int(at["refractory"]),
            synapse=synapse,
            adaptation=adaptation,
            **{name: str(at[name]) for name in CHOICES},  # type: ignore[arg-type]
        )

    def substitute(self, model: Neuron, parameters: Mapping[str, Any]) -> Neuron:
        assert isinstance(model, Lif)
        found = dict(parameters)

        def leak(of: Leak, name: str) -> Leak:
            return unchecked(of, amount=found.pop(name)) if name in found else of

        changed: dict[str, Any] = {"leak": leak(model.leak, "leak")}
        if syn := model.synapse:
            changed["synapse"] = unchecked(syn, leak=leak(syn.leak, "synapse_leak"))
        if ada := model.adaptation:
            own = leak(ada.leak, "adaptation_leak")
            changed["adaptation"] = unchecked(ada, leak=own, jump=found.pop("jump"))
        return unchecked(model, **changed, **found)

    def check(self, attributes: Mapping[str, Value]) -> None:
        for prefix in ("", "syn_", "adapt_"):
            kind, bits = attributes.get(f"{prefix}leak"), attributes.get(f"{prefix}leak_frac_bits")
            if kind is not None and kind not in PRODUCTS and bits != 0:
                raise ValueError(
                    f"{prefix}leak_frac_bits is {bits}, but leak '{kind}' does not multiply: give 0"
                )
        frac, given = int(attributes["state_frac"]), int(attributes["input_frac"])
        shifts = [given - frac]
        if attributes["synapse"]:
            own = int(attributes["syn_frac"])
            shifts = [given - own, own - frac]
        if max(map(abs, shifts)) > 24:
            raise ValueError("fraction bits of input, synapse and membrane differ by more than 24")


def _word(prefix: str, word: Word, signed: str, overflow: str) -> dict[str, Value]:
    return {
        f"{prefix}_bits": word.bits,
        f"{prefix}_frac": word.frac,
        signed: int(word.signed),
        overflow: word.overflow,
    }


def _leak(prefix: str, leak: Leak) -> dict[str, Value]:
    bits = leak.frac if leak.kind in PRODUCTS else 0
    return {f"{prefix}leak": leak.kind, f"{prefix}leak_frac_bits": bits}


def _amount(
    name: str, kind: str, bits: str, frac: int, attributes: Mapping[str, Value]
) -> list[Parameter]:
    """A decay is a real number, a shift a whole one, a linear leak an amount of its state."""
    found = str(attributes[kind])
    if found == "none":
        return []
    if found in PRODUCTS:
        return [Parameter(name, int(attributes[bits]))]
    return [Parameter(name, 0 if found.startswith("shift") else frac)]
