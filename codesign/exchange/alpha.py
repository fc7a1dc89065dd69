"""``Alpha``, version 1: :class:`codesign.neurons.Alpha` as attributes and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from codesign.exchange.attributes import Rule, Value
from codesign.exchange.schema import Parameter, Schema, register, unchecked
from codesign.neurons import LEAKS, OVERFLOWS, Alpha, Leak, Neuron, Word
from codesign.neurons.alpha import ALPHA_CHOICES
from codesign.neurons.leak import PRODUCTS

_FLAG = range(2)
_BITS, _FRAC, _PRODUCT_FRAC = range(1, 25), range(-64, 65), range(25)


@register
class AlphaSchema(Schema):
    """What the attributes mean is the docstring of :class:`codesign.neurons.Alpha`."""

    op_type = "Alpha"
    model = Alpha

    def rules(self, found: Mapping[str, Value]) -> dict[str, Rule]:
        rules: dict[str, Rule] = {"input_frac": _FRAC, "gain_frac_bits": _PRODUCT_FRAC}
        for part, signed, overflow in _WORDS:
            rules |= {f"{part}_bits": _BITS, f"{part}_frac": _FRAC}
            rules |= {signed: _FLAG, overflow: OVERFLOWS}
        for part in _LEAKS:
            rules |= {f"{part}_leak": LEAKS, f"{part}_leak_frac_bits": _PRODUCT_FRAC}
        return {**rules, **ALPHA_CHOICES}

    def attributes(self, model: Neuron) -> dict[str, Value]:
        assert isinstance(model, Alpha)
        found: dict[str, Value] = {
            "input_frac": model.input_frac,
            "gain_frac_bits": model.gain_frac,
            **{name: getattr(model, name) for name in ALPHA_CHOICES},
        }
        for (part, signed, overflow), word in zip(_WORDS, (model.word, model.synapse), strict=True):
            found |= {f"{part}_bits": word.bits, f"{part}_frac": word.frac}
            found |= {signed: int(word.signed), overflow: word.overflow}
        for part, leak in zip(_LEAKS, (model.rise, model.fall), strict=True):
            bits = leak.frac if leak.kind in PRODUCTS else 0
            found |= {f"{part}_leak": leak.kind, f"{part}_leak_frac_bits": bits}
        return found

    def check(self, attributes: Mapping[str, Value]) -> None:
        for part in _LEAKS:
            kind, bits = attributes[f"{part}_leak"], attributes[f"{part}_leak_frac_bits"]
            if kind not in PRODUCTS and bits != 0:
                raise ValueError(
                    f"{part}_leak_frac_bits is {bits}, but leak '{kind}' does not multiply: give 0"
                )
        own, frac = int(attributes["syn_frac"]), int(attributes["state_frac"])
        if max(abs(int(attributes["input_frac"]) - own), abs(own - frac)) > 24:
            raise ValueError("fraction bits of input, synapse and membrane differ by more than 24")

    def parameters(self, attributes: Mapping[str, Value]) -> list[Parameter]:
        found = [
            Parameter("theta", int(attributes["state_frac"])),
            Parameter("gain", int(attributes["gain_frac_bits"])),
        ]
        for part in _LEAKS:
            kind = str(attributes[f"{part}_leak"])
            if kind in PRODUCTS:
                found.append(Parameter(part, int(attributes[f"{part}_leak_frac_bits"])))
            elif kind != "none":
                shifts = kind.startswith("shift")
                found.append(Parameter(part, 0 if shifts else int(attributes["syn_frac"])))
        return found

    def codes(self, model: Neuron) -> dict[str, np.ndarray]:
        assert isinstance(model, Alpha)
        return model.parameters()

    def build(self, attributes: Mapping[str, Value], codes: Mapping[str, np.ndarray]) -> Neuron:
        at = attributes
        word, synapse = (
            Word(int(at[f"{p}_bits"]), int(at[f"{p}_frac"]), bool(at[signed]), str(at[overflow]))
            for p, signed, overflow in _WORDS
        )
        none = np.zeros(1, np.int64)
        rise, fall = (
            Leak(str(at[f"{p}_leak"]), codes.get(p, none), int(at[f"{p}_leak_frac_bits"]))
            for p in _LEAKS
        )
        return Alpha(
            word,
            synapse,
            rise,
            fall,
            codes["gain"],
            int(at["gain_frac_bits"]),
            codes["theta"],
            input_frac=int(at["input_frac"]),
            **{name: str(at[name]) for name in ALPHA_CHOICES},  # type: ignore[arg-type]
        )

    def substitute(self, model: Neuron, parameters: Mapping[str, Any]) -> Neuron:
        assert isinstance(model, Alpha)
        found = dict(parameters)
        leaks = {
            part: unchecked(getattr(model, part), amount=found.pop(part))
            for part in _LEAKS
            if part in found
        }
        return unchecked(model, **leaks, **found)


_WORDS = (("state", "signed", "overflow"), ("syn", "syn_signed", "syn_overflow"))
_LEAKS = ("rise", "fall")
