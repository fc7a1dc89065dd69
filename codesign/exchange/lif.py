"""``Lif``, version 1: :class:`codesign.neurons.Lif` as attributes and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from codesign.exchange.attributes import Rule, Value
from codesign.exchange.parts import (
    BITS,
    FLAG,
    FRAC,
    LEAK_FRAC,
    check_leaks,
    leak_attributes,
    leak_parameter,
    other_leak,
    read_leak,
    read_word,
    word_attributes,
)
from codesign.exchange.schema import Parameter, Schema, register, unchecked
from codesign.neurons import LEAKS, OVERFLOWS, Adaptation, Lif, Neuron, Synapse
from codesign.neurons.lif import CHOICES, SYN_ORDERS

_ALWAYS: dict[str, Rule] = {
    "state_bits": BITS,
    "state_frac": FRAC,
    "signed": FLAG,
    "overflow": OVERFLOWS,
    "input_frac": FRAC,
    "leak": LEAKS,
    "leak_frac_bits": LEAK_FRAC,
    **CHOICES,
    "spike_levels": range(1, 256),
    "refractory": range(256),
    "synapse": FLAG,
    "adaptation": FLAG,
}
_SYNAPSE: dict[str, Rule] = {
    "syn_bits": BITS,
    "syn_frac": FRAC,
    "syn_signed": FLAG,
    "syn_overflow": OVERFLOWS,
    "syn_leak": LEAKS,
    "syn_leak_frac_bits": LEAK_FRAC,
    "syn_order": SYN_ORDERS,
    "syn_reset": FLAG,
}
_ADAPTATION: dict[str, Rule] = {
    "adapt_bits": BITS,
    "adapt_signed": FLAG,
    "adapt_overflow": OVERFLOWS,
    "adapt_leak": LEAKS,
    "adapt_leak_frac_bits": LEAK_FRAC,
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
            **word_attributes("state", model.word, "signed", "overflow"),
            "input_frac": model.input_frac,
            **leak_attributes("", model.leak),
            **{name: getattr(model, name) for name in CHOICES},
            "spike_levels": model.spike_levels,
            "refractory": model.refractory,
            "synapse": int(model.synapse is not None),
            "adaptation": int(model.adaptation is not None),
        }
        if syn := model.synapse:
            found |= word_attributes("syn", syn.word, "syn_signed", "syn_overflow")
            found |= leak_attributes("syn_", syn.leak)
            found |= {"syn_order": syn.order, "syn_reset": int(syn.reset)}
        if ada := model.adaptation:
            if ada.word.frac != model.word.frac:
                raise ValueError("a threshold's adaptation has the fraction bits of the membrane")
            word = word_attributes("adapt", ada.word, "adapt_signed", "adapt_overflow")
            found |= {name: value for name, value in word.items() if name != "adapt_frac"}
            found |= leak_attributes("adapt_", ada.leak)
        return found

    def parameters(self, attributes: Mapping[str, Value]) -> list[Parameter]:
        frac = int(attributes["state_frac"])
        found = [Parameter("theta", frac), Parameter("bias", frac, 0), Parameter("v0", frac, 0)]
        if attributes["reset"] == "value":
            found.append(Parameter("reset_value", frac, 0))
        found += leak_parameter("leak", "leak", "leak_frac_bits", frac, attributes)
        if attributes["synapse"]:
            own = int(attributes["syn_frac"])
            found += leak_parameter(
                "synapse_leak", "syn_leak", "syn_leak_frac_bits", own, attributes
            )
        if attributes["adaptation"]:
            bits = "adapt_leak_frac_bits"
            found += leak_parameter("adaptation_leak", "adapt_leak", bits, frac, attributes)
            found.append(Parameter("jump", frac))
        return found

    def codes(self, model: Neuron) -> dict[str, np.ndarray]:
        assert isinstance(model, Lif)
        return model.parameters()

    def build(self, attributes: Mapping[str, Value], codes: Mapping[str, np.ndarray]) -> Neuron:
        at = attributes
        synapse = adaptation = None
        if at["synapse"]:
            own = read_word(at, "syn_bits", "syn_frac", "syn_signed", "syn_overflow")
            leak = read_leak(at, "syn_", "synapse_leak", codes)
            synapse = Synapse(own, leak, str(at["syn_order"]), bool(at["syn_reset"]))
        if at["adaptation"]:
            own = read_word(at, "adapt_bits", "state_frac", "adapt_signed", "adapt_overflow")
            leak = read_leak(at, "adapt_", "adaptation_leak", codes)
            adaptation = Adaptation(own, leak, codes["jump"])
        return Lif(
            word=read_word(at, "state_bits", "state_frac", "signed", "overflow"),
            leak=read_leak(at, "", "leak", codes),
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
        changed: dict[str, Any] = {"leak": other_leak(model.leak, "leak", found)}
        if syn := model.synapse:
            own = other_leak(syn.leak, "synapse_leak", found)
            changed["synapse"] = unchecked(syn, leak=own)
        if ada := model.adaptation:
            own = other_leak(ada.leak, "adaptation_leak", found)
            changed["adaptation"] = unchecked(ada, leak=own, jump=found.pop("jump"))
        for name in ("leak", "synapse_leak", "adaptation_leak"):
            found.pop(name, None)
        return unchecked(model, **changed, **found)

    def check(self, attributes: Mapping[str, Value]) -> None:
        check_leaks(attributes, "", "syn_", "adapt_")
        frac, given = int(attributes["state_frac"]), int(attributes["input_frac"])
        shifts = [given - frac]
        if attributes["synapse"]:
            own = int(attributes["syn_frac"])
            shifts = [given - own, own - frac]
        if max(map(abs, shifts)) > 24:
            raise ValueError("fraction bits of input, synapse and membrane differ by more than 24")
