"""``Egru``, version 1: :class:`codesign.neurons.Egru` as attributes and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from codesign.exchange.attributes import Rule, Value
from codesign.exchange.parts import (
    BITS,
    FRAC,
    check_shifts,
    read_table,
    read_word,
    table_attributes,
    table_parameter,
    table_rules,
    word_attributes,
)
from codesign.exchange.schema import Parameter, Schema, register, unchecked
from codesign.neurons import ROUNDINGS, Egru, Neuron
from codesign.neurons.egru import INPUTS

_RULES: dict[str, Rule] = {
    "state_bits": BITS,
    "state_frac": FRAC,
    "signed": range(1, 2),
    "overflow": ("sat_step", "sat_narrow", "sat_add", "wrap"),
    **{f"{name}_frac": FRAC for name in INPUTS},
    "rounding": ROUNDINGS,
    "compare": ("gt", "ge"),
    **table_rules("sigma"),
    "sigma_frac": range(24),
    **table_rules("tau"),
}


@register
class EgruSchema(Schema):
    """What the attributes mean is the docstring of :class:`codesign.neurons.Egru`."""

    op_type = "Egru"
    model = Egru

    def rules(self, found: Mapping[str, Value]) -> dict[str, Rule]:
        return dict(_RULES)

    def attributes(self, model: Neuron) -> dict[str, Value]:
        assert isinstance(model, Egru)
        return {
            **word_attributes("state", model.word, "signed", "overflow"),
            **{f"{name}_frac": frac for name, frac in zip(INPUTS, model.fracs, strict=True)},
            "rounding": model.rounding,
            "compare": model.compare,
            **table_attributes("sigma", model.sigma),
            "sigma_frac": model.sigma.frac,
            **table_attributes("tau", model.tau),
        }

    def parameters(self, attributes: Mapping[str, Value]) -> list[Parameter]:
        frac = int(attributes["state_frac"])
        return [
            Parameter("theta", frac),
            table_parameter("sigma", attributes, int(attributes["sigma_frac"])),
            table_parameter("tau", attributes, frac),
        ]

    def codes(self, model: Neuron) -> dict[str, np.ndarray]:
        assert isinstance(model, Egru)
        return {"theta": model.theta, "sigma": model.sigma.codes, "tau": model.tau.codes}

    def build(self, attributes: Mapping[str, Value], codes: Mapping[str, np.ndarray]) -> Neuron:
        at = attributes
        return Egru(
            word=read_word(at, "state_bits", "state_frac", "signed", "overflow"),
            theta=codes["theta"],
            compare=str(at["compare"]),
            sigma=read_table("sigma", at, int(at["sigma_frac"]), codes["sigma"]),
            tau=read_table("tau", at, int(at["state_frac"]), codes["tau"]),
            fracs=tuple(int(at[f"{name}_frac"]) for name in INPUTS),
            rounding=str(at["rounding"]),
        )

    def substitute(self, model: Neuron, parameters: Mapping[str, Any]) -> Neuron:
        assert isinstance(model, Egru)
        tables = {n: unchecked(getattr(model, n), codes=parameters[n]) for n in ("sigma", "tau")}
        return unchecked(model, theta=parameters["theta"], **tables)

    def check(self, attributes: Mapping[str, Value]) -> None:
        at = attributes
        fracs = {name: int(at[f"{name}_frac"]) for name in INPUTS}
        sigma, tau = int(at["sigma_in_frac"]), int(at["tau_in_frac"])
        check_shifts(
            [
                fracs["update"] - sigma,
                fracs["reset"] - sigma,
                fracs["candidate"] - tau,
                int(at["sigma_frac"]) + fracs["recurrent"] - tau,
            ]
        )
