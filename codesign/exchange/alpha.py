"""``Alpha``, version 1: :class:`codesign.neurons.Alpha` as attributes and parameters."""

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
    check_shifts,
    leak_attributes,
    leak_parameter,
    other_leak,
    read_leak,
    read_word,
    word_attributes,
)
from codesign.exchange.schema import Parameter, Schema, register, unchecked
from codesign.neurons import LEAKS, Alpha, Neuron
from codesign.neurons.alpha import ALPHA_CHOICES

_OVERFLOWS = ("sat_step", "sat_narrow", "sat_add", "wrap")
_RULES: dict[str, Rule] = {
    "state_bits": BITS,
    "state_frac": FRAC,
    "signed": FLAG,
    "overflow": _OVERFLOWS,
    "syn_bits": BITS,
    "syn_frac": FRAC,
    "syn_signed": FLAG,
    "syn_overflow": _OVERFLOWS,
    "rise_leak": LEAKS,
    "rise_leak_frac_bits": LEAK_FRAC,
    "fall_leak": LEAKS,
    "fall_leak_frac_bits": LEAK_FRAC,
    "gain_frac_bits": LEAK_FRAC,
    "input_frac": FRAC,
    **ALPHA_CHOICES,
}


@register
class AlphaSchema(Schema):
    """What the attributes mean is the docstring of :class:`codesign.neurons.Alpha`."""

    op_type = "Alpha"
    model = Alpha

    def rules(self, found: Mapping[str, Value]) -> dict[str, Rule]:
        return _RULES

    def attributes(self, model: Neuron) -> dict[str, Value]:
        assert isinstance(model, Alpha)
        return {
            **word_attributes("state", model.word, "signed", "overflow"),
            **word_attributes("syn", model.synapse, "syn_signed", "syn_overflow"),
            **leak_attributes("rise_", model.rise),
            **leak_attributes("fall_", model.fall),
            "gain_frac_bits": model.gain_frac,
            "input_frac": model.input_frac,
            **{name: getattr(model, name) for name in ALPHA_CHOICES},
        }

    def check(self, attributes: Mapping[str, Value]) -> None:
        check_leaks(attributes, "rise_", "fall_")
        own, frac = int(attributes["syn_frac"]), int(attributes["state_frac"])
        gain = int(attributes["gain_frac_bits"])
        check_shifts([int(attributes["input_frac"]) - own, gain + own - frac])

    def parameters(self, attributes: Mapping[str, Value]) -> list[Parameter]:
        own, frac = int(attributes["syn_frac"]), int(attributes["state_frac"])
        found = [
            Parameter("theta", frac),
            Parameter("gain", int(attributes["gain_frac_bits"])),
        ]
        for name in ("rise", "fall"):
            kind = f"{name}_leak"
            found += leak_parameter(name, kind, f"{kind}_frac_bits", own, attributes)
        return found

    def codes(self, model: Neuron) -> dict[str, np.ndarray]:
        assert isinstance(model, Alpha)
        return model.parameters()

    def build(self, attributes: Mapping[str, Value], codes: Mapping[str, np.ndarray]) -> Neuron:
        return Alpha(
            read_word(attributes, "state_bits", "state_frac", "signed", "overflow"),
            read_word(attributes, "syn_bits", "syn_frac", "syn_signed", "syn_overflow"),
            read_leak(attributes, "rise_", "rise", codes),
            read_leak(attributes, "fall_", "fall", codes),
            codes["gain"],
            int(attributes["gain_frac_bits"]),
            codes["theta"],
            input_frac=int(attributes["input_frac"]),
            **{name: str(attributes[name]) for name in ALPHA_CHOICES},  # type: ignore[arg-type]
        )

    def substitute(self, model: Neuron, parameters: Mapping[str, Any]) -> Neuron:
        assert isinstance(model, Alpha)
        leaks = {
            "rise": other_leak(model.rise, "rise", parameters),
            "fall": other_leak(model.fall, "fall", parameters),
        }
        rest = {k: v for k, v in parameters.items() if k not in leaks}
        return unchecked(model, **leaks, **rest)
