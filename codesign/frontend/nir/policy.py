"""What NIR leaves open."""

from __future__ import annotations

from typing import Literal

import numpy as np

from codesign.errors import UsageError
from codesign.exchange import Metadata
from codesign.frontend.names import printable
from codesign.frontend.spiking.policy import Formats, Strict
from codesign.neurons import Leak, Lif, Word, presets

Preset = Literal[
    "snntorch_default", "snntorch_no_delay", "loihi", "xylo", "hls4ml", "spiker", "tinyodin"
]


class NirPolicy(Strict):
    """Every field is mandatory.

    ``preset``: whose semantics the neurons have (what fires, when it resets, in which order).
    ``reset``: "value": to ``v_reset``, as NIR says; "subtract": by the threshold; "none".
    ``discretisation`` of ``tau dv/dt = -v + R I``: "euler": ``v + dt/tau (R I - v)``; "exact":
    the solution for an input held over the step, ``exp(-dt/tau) v + (1 - exp(-dt/tau)) R I``.
    ``integrators``: IF and I, ``dv/dt = R I``, add ``R I dt`` ("per_second") or ``R I``
    ("per_step"). ``gain``: where the factor of the input goes: into the "weights" before the
    neurons, or, for those that fire, by its inverse into threshold and reset ("threshold").
    ``flatten``: whether the axes of Flatten count from after the batch ("nir"), as the format
    defines, or with it ("torch"), as some exporters have it.
    """

    preset: Preset
    reset: Literal["value", "subtract", "none"]
    discretisation: Literal["euler", "exact"]
    integrators: Literal["per_second", "per_step"]
    gain: Literal["weights", "threshold"]
    flatten: Literal["nir", "torch"]
    time: Metadata
    formats: Formats


#: What of a preset its chip fixes, beyond the order of things.
_FIXED = {
    "loihi": ("bits", "overflow", "leak"),
    "xylo": ("bits", "overflow", "leak"),
    "hls4ml": ("overflow", "leak"),
    "spiker": ("overflow", "leak"),
    "tinyodin": ("bits", "overflow"),
}
#: Resets other than those a preset's chip has.
_NO_RESET = {
    "loihi": ("subtract", "none"),
    "xylo": ("value", "none"),
    "hls4ml": ("none",),
    "spiker": ("none",),
    "tinyodin": ("subtract", "none"),
}


def sample(preset: str, synapse: bool) -> Lif:
    """A neuron of ``preset``, to see its choices; ``synapse``: with a synaptic current."""
    one, zero, word = np.ones(1, np.int64), np.zeros(1, np.int64), Word(16, 0, True, "sat_step")
    if preset.startswith("snntorch"):
        leak = Leak("mul_floor", one, 1)
        return presets.snntorch(
            "Synaptic" if synapse else "Leaky",
            word,
            leak,
            one,
            reset="zero",
            reset_delay=preset == "snntorch_default",
            input_frac=0,
            rounding="exact",
            synapse=(word, leak) if synapse else None,
        )
    makers = {
        "loihi": lambda: presets.loihi(
            one, one, one, bias=zero, refractory=0, resets_current=False
        ),
        "xylo": lambda: presets.xylo(one, one, one, bias=zero, max_spikes=31),
        "hls4ml": lambda: presets.hls4ml(
            16, 0, one, beta=one, beta_frac=1, reset="zero", input_frac=0
        ),
        "spiker": lambda: presets.spiker(16, 1, one, reset="value", reset_value=zero),
        "tinyodin": lambda: presets.tinyodin(one, one),
    }
    found = makers[preset]()
    if synapse and found.synapse is None:
        raise UsageError(
            f"preset '{preset}' has no synaptic current",
            where="NIR policy",
            hint="use snntorch_default, snntorch_no_delay, loihi or xylo for CubaLIF and CubaLI",
        )
    return found


def check_policy(policy: NirPolicy) -> None:
    """Whether the formats are those the preset's chip fixes; :class:`UsageError` if not."""
    model, state = sample(policy.preset, False), policy.formats.state
    fixed = _FIXED.get(policy.preset, ())
    for name, has, given in (
        ("bits", model.word.bits, state.bits),
        ("overflow", model.word.overflow, state.overflow),
        ("leak", model.leak.kind, policy.formats.leak.kind),
    ):
        if name in fixed and has != given:
            field = f"formats.leak.kind = '{given}'" if name == "leak" else f"state {name} {given}"
            raise UsageError(
                f"preset '{policy.preset}' has {has}, the policy says {field}",
                where="NIR policy",
                hint="change the formats, or take another preset",
            )
    if policy.reset in _NO_RESET.get(policy.preset, ()):
        raise UsageError(
            f"preset '{policy.preset}' has no reset '{policy.reset}'",
            where="NIR policy",
            hint="take another reset or preset",
        )


def describe_presets() -> str:
    """One line for each preset: what it decides."""
    return "\n".join(f"  {name}: {_describe(name)}" for name in presets.PRESETS)


def _describe(name: str) -> str:
    model = sample(name, False)
    fires = {"gt": "fires on >", "ge": "fires on >="}[model.compare]
    when = {"same": "in the same step", "next": "in the next step", "both": "in the same step"}
    parts = [fires, f"resets {when[model.reset_timing]}"]
    if model.reset_vs_leak == "instead":
        parts.append("instead of leaking")
    if name in _FIXED:
        parts += [f"leak {model.leak.kind}", f"overflow {model.word.overflow}"]
    if "bits" in _FIXED.get(name, ()):
        parts.append(f"{model.word.bits} bit states")
    if model.spike_levels > 1:
        parts.append(f"up to {model.spike_levels} spikes a step")
    return ", ".join(parts)


def missing_policy() -> UsageError:
    """The error where no policy is given."""
    return UsageError(
        "NIR has no dt, no formats, and does not say when a neuron resets: a policy must\n"
        f"presets of a policy:\n{describe_presets()}",
        where="NIR policy",
        hint="'codesign nir-policy PRESET > policy.toml' writes one to edit; docs/SPIKING.md says "
        "what its fields are; then give --policy policy.toml",
    )


_TEMPLATE = """\
# preset {preset}: {says}
preset = "{preset}"
reset = "{reset}"                # value (to v_reset, as NIR says), subtract, none
discretisation = "euler"       # euler, exact
integrators = "per_second"     # IF and I add R I dt (per_second) or R I (per_step)
gain = "weights"               # where the factor of the input goes: weights, threshold
flatten = "nir"                # axes of Flatten: after the batch (nir), with it (torch)

[time]
steps = 16
dt = 1e-4                      # seconds
encoding = "rate"              # rate, latency, delta, direct, events
readout = "count"              # count, membrane, membrane_sum, first_spike
reset_at_window = true

[formats]
parameters = "nearest"         # exact refuses what a format cannot hold; nearest reports it
rounding = "{rounding}"            # of sums with finer steps than the state

[formats.input]
bits = 1
frac = 0
signed = false

[formats.weights]
bits = 8
frac = 6

[formats.state]
bits = {bits}
frac = 10
signed = true
overflow = "{overflow}"

[formats.leak]
kind = "{leak}"
frac = {leak_frac}

[formats.synapse]              # only read where there are synaptic currents
bits = {bits}
frac = 10
signed = true
overflow = "{synapse}"

[formats.synapse_leak]
kind = "{leak}"
frac = {leak_frac}
"""


def template(preset: str) -> str:
    """A policy with ``preset``, as TOML, to be edited; :class:`UsageError` for an unknown one."""
    if preset not in presets.PRESETS:
        raise UsageError(
            f"no preset '{printable(preset)}'", hint="presets: " + ", ".join(presets.PRESETS)
        )
    model = sample(preset, False)
    kind = "mul_floor" if model.leak.kind == "linear" else model.leak.kind
    return _TEMPLATE.format(
        preset=preset,
        says=_describe(preset),
        reset="subtract" if preset == "xylo" else "value",
        rounding="floor",
        bits=model.word.bits,
        overflow=model.word.overflow,
        synapse=model.synapse.word.overflow if model.synapse else "sat_step",
        leak=kind,
        leak_frac=0 if kind.startswith("shift") else 12,
    )
