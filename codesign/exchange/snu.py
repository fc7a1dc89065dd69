"""``Snu``, version 1: :class:`codesign.neurons.Snu` as attributes and parameters."""

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
    read_table,
    read_word,
    table_attributes,
    table_parameter,
    table_rules,
    word_attributes,
)
from codesign.exchange.schema import Parameter, Schema, register, unchecked
from codesign.neurons import LEAKS, ROUNDINGS, AxonicInput, Neuron, Snu, SomaticInput
from codesign.neurons.snu import ACTIVATIONS

_OVERFLOWS = ("sat_step", "sat_narrow", "sat_add", "wrap")
_ALWAYS: dict[str, Rule] = {
    "state_bits": BITS,
    "state_frac": FRAC,
    "signed": FLAG,
    "overflow": _OVERFLOWS,
    "input_frac": FRAC,
    "rounding": ROUNDINGS,
    "leak": LEAKS,
    "leak_frac_bits": LEAK_FRAC,
    "g": ACTIVATIONS,
    "compare": ("gt", "ge"),
    "soft": FLAG,
    "somatic": FLAG,
    "axonic": FLAG,
}
_SOFT: dict[str, Rule] = {**table_rules("soft"), "soft_frac": range(24), "soft_bits": BITS}
_SOMATIC: dict[str, Rule] = {
    "som_bits": BITS,
    "som_frac": FRAC,
    "som_signed": FLAG,
    "som_overflow": _OVERFLOWS,
    "som_leak": LEAKS,
    "som_leak_frac_bits": LEAK_FRAC,
    "som_input_frac": FRAC,
    "gain_frac_bits": LEAK_FRAC,
    "beta_frac_bits": LEAK_FRAC,
}
_AXONIC: dict[str, Rule] = {
    **table_rules("gate"),
    "gate_frac": range(24),
    "gate_input_frac": FRAC,
}


@register
class SnuSchema(Schema):
    """What the attributes mean is the docstring of :class:`codesign.neurons.Snu`."""

    op_type = "Snu"
    model = Snu

    def rules(self, found: Mapping[str, Value]) -> dict[str, Rule]:
        return {
            **_ALWAYS,
            **(_SOFT if found.get("soft") == 1 else {}),
            **(_SOMATIC if found.get("somatic") == 1 else {}),
            **(_AXONIC if found.get("axonic") == 1 else {}),
        }

    def attributes(self, model: Neuron) -> dict[str, Value]:
        assert isinstance(model, Snu)
        found: dict[str, Value] = {
            **word_attributes("state", model.word, "signed", "overflow"),
            "input_frac": model.input_frac,
            "rounding": model.rounding,
            **leak_attributes("", model.leak),
            "g": model.g,
            "compare": model.compare,
            "soft": int(model.soft is not None),
            "somatic": int(model.somatic is not None),
            "axonic": int(model.axonic is not None),
        }
        if soft := model.soft:
            found |= table_attributes("soft", soft)
            found |= {"soft_frac": soft.frac, "soft_bits": max(1, model.y_hi.bit_length())}
        if som := model.somatic:
            found |= word_attributes("som", som.word, "som_signed", "som_overflow")
            found |= leak_attributes("som_", som.leak)
            found |= {"som_input_frac": som.input_frac}
            found |= {"gain_frac_bits": som.gain_frac, "beta_frac_bits": som.beta_frac}
        if axonic := model.axonic:
            found |= table_attributes("gate", axonic.table)
            found |= {"gate_frac": axonic.table.frac, "gate_input_frac": axonic.input_frac}
        return found

    def parameters(self, attributes: Mapping[str, Value]) -> list[Parameter]:
        at, frac = attributes, int(attributes["state_frac"])
        found = [Parameter("theta", frac)]
        found += leak_parameter("leak", "leak", "leak_frac_bits", frac, at)
        if at["soft"]:
            one = 1 << int(at["soft_frac"])
            largest = min((1 << int(at["soft_bits"])) - 1, one)
            found.append(table_parameter("soft", at, int(at["soft_frac"]), largest))
        if at["somatic"]:
            own = int(at["som_frac"])
            found += leak_parameter("somatic_leak", "som_leak", "som_leak_frac_bits", own, at)
            found.append(Parameter("gain", int(at["gain_frac_bits"])))
            found.append(Parameter("beta", int(at["beta_frac_bits"])))
        if at["axonic"]:
            own = int(at["gate_frac"])
            found.append(Parameter("gate_table", own, 0, int(at["gate_entries"])))
        return found

    def codes(self, model: Neuron) -> dict[str, np.ndarray]:
        assert isinstance(model, Snu)
        found = model.parameters()
        if model.soft:
            found["soft"] = model.soft.codes
        if model.axonic:
            found["gate_table"] = model.axonic.table.codes
        return found

    def build(self, attributes: Mapping[str, Value], codes: Mapping[str, np.ndarray]) -> Neuron:
        at = attributes
        soft = somatic = axonic = None
        if at["soft"]:
            soft = read_table("soft", at, int(at["soft_frac"]), codes["soft"])
        if at["somatic"]:
            somatic = SomaticInput(
                read_word(at, "som_bits", "som_frac", "som_signed", "som_overflow"),
                read_leak(at, "som_", "somatic_leak", codes),
                int(at["som_input_frac"]),
                codes["gain"],
                int(at["gain_frac_bits"]),
                codes["beta"],
                int(at["beta_frac_bits"]),
            )
        if at["axonic"]:
            table = read_table("gate", at, int(at["gate_frac"]), codes["gate_table"])
            axonic = AxonicInput(table, int(at["gate_input_frac"]))
        made = Snu(
            word=read_word(at, "state_bits", "state_frac", "signed", "overflow"),
            leak=read_leak(at, "", "leak", codes),
            theta=codes["theta"],
            g=str(at["g"]),
            compare=str(at["compare"]),
            input_frac=int(at["input_frac"]),
            rounding=str(at["rounding"]),
            soft=soft,
            somatic=somatic,
            axonic=axonic,
        )
        if soft and max(1, made.y_hi.bit_length()) != at["soft_bits"]:
            raise ValueError(f"soft_bits is {at['soft_bits']}, its largest entry is {made.y_hi}")
        return made

    def substitute(self, model: Neuron, parameters: Mapping[str, Any]) -> Neuron:
        assert isinstance(model, Snu)
        found: dict[str, Any] = {
            "theta": parameters["theta"],
            "leak": other_leak(model.leak, "leak", parameters),
        }
        if model.soft:
            found["soft"] = unchecked(model.soft, codes=parameters["soft"])
        if som := model.somatic:
            own = {"gain": parameters["gain"], "beta": parameters["beta"]}
            leak = other_leak(som.leak, "somatic_leak", parameters)
            found["somatic"] = unchecked(som, leak=leak, **own)
        if axonic := model.axonic:
            table = unchecked(axonic.table, codes=parameters["gate_table"])
            found["axonic"] = unchecked(axonic, table=table)
        return unchecked(model, **found)

    def check(self, attributes: Mapping[str, Value]) -> None:
        at = attributes
        check_leaks(at, "", "som_")
        frac = int(at["state_frac"])
        shifts = [int(at["input_frac"]) - frac]
        if at["soft"]:
            shifts.append(frac - int(at["soft_in_frac"]))
        if at["somatic"]:
            own, gain, beta = (int(at[n]) for n in ("som_frac", "gain_frac_bits", "beta_frac_bits"))
            shifts += [int(at["som_input_frac"]) + gain - own, own + beta - frac]
        if at["axonic"]:
            shifts.append(int(at["gate_input_frac"]) - int(at["gate_in_frac"]))
        check_shifts(shifts)
