"""The generated tables of docs/EXCHANGE.md: every attribute and parameter of every operator.

``python -m tests.exchange.exchange_doc`` writes them; ``test_document.py`` checks that they are
fresh. Their values come from the schemas, their meanings from here.
"""

from __future__ import annotations

import re
from pathlib import Path

from codesign.exchange.attributes import Rule
from codesign.exchange.schema import SCHEMAS

PAGE = Path(__file__).parents[2] / "docs" / "EXCHANGE.md"
COMMAND = ".venv/bin/python -m tests.exchange.exchange_doc"

_WORD = {
    "bits": "bits of a code",
    "frac": "a code is worth `2^-frac`",
    "signed": "1: two's complement; 0: not negative",
    "overflow": "what happens past the ends of the word",
}
_TABLE = {
    "in_frac": "what the table is asked for is an integer worth `2^-in_frac`",
    "lo": "the integer of its first entry",
    "entries": "how many entries it has",
    "frac": "an entry is worth `2^-frac`",
}


def _parts(prefix: str, what: str, meanings: dict[str, str]) -> dict[str, str]:
    return {f"{prefix}_{name}": f"{what}: {text}" for name, text in meanings.items()}


def _leak(prefix: str, what: str) -> dict[str, str]:
    return {
        f"{prefix}leak": f"{what}: what is lost in a step",
        f"{prefix}leak_frac_bits": f"{what}: fraction bits of a decay that multiplies, else 0",
    }


_COMMON = {
    "version": "of the operator",
    **_parts("state", "state", _WORD),
    "signed": f"state: {_WORD['signed']}",
    "overflow": f"state: {_WORD['overflow']}",
    "input_frac": "an input code is worth `2^-input_frac`",
    "rounding": "wherever fraction bits are lost between words",
    "compare": "`gt`: above the threshold; `ge`: at or above",
    **_leak("", "state"),
}
MEANINGS = {
    "Lif": {
        **_COMMON,
        "reset": "what a spike does to the membrane",
        "reset_timing": "steps 3 and 6",
        "reset_vs_leak": "steps 3 and 6",
        "reset_vs_input": "step 3",
        "refractory_mode": "step 7",
        "output": "what the first output is",
        "spike_levels": "largest number of spikes in a step",
        "refractory": "steps without spikes after one",
        "synapse": "1: there is a synaptic current `i`, and the attributes `syn_*`",
        "adaptation": "1: there is a threshold `a` that adapts, and the attributes `adapt_*`",
        **_parts("syn", "synapse", _WORD),
        **_leak("syn_", "synapse"),
        "syn_order": "what the membrane receives, step 2",
        "syn_reset": "1: a spike clears `i` too",
        **_parts("adapt", "threshold", _WORD),
        **_leak("adapt_", "threshold"),
    },
    "Alpha": {
        **_COMMON,
        **_parts("syn", "currents e and h", _WORD),
        **_leak("rise_", "current e"),
        **_leak("fall_", "current h"),
        "gain_frac_bits": "fraction bits of `gain`",
        "gain_rounding": "where the product with `gain` loses bits",
        "reset": "what a spike does, step 4",
        "output": "what the first output is",
    },
    "Snu": {
        **_COMMON,
        "g": "function of the new state",
        "soft": "1: sSNU, there are the table and the attributes `soft_*`",
        "somatic": "1: SNU-a, there are the input `adapt`, the state `b` and `som_*`",
        "axonic": "1: SNU-o, there are the input `gate` and the attributes `gate_*`",
        **_parts("soft", "table of h", _TABLE),
        "soft_bits": "bits of the largest entry of that table, which is the word of `y`",
        **_parts("som", "state b", _WORD),
        **_leak("som_", "state b"),
        "som_input_frac": "a code of the input `adapt` is worth `2^-som_input_frac`",
        "gain_frac_bits": "fraction bits of `gain`",
        "beta_frac_bits": "fraction bits of `beta`",
        **_parts("gate", "table of the gate", _TABLE),
        "gate_input_frac": "a code of the input `gate` is worth `2^-gate_input_frac`",
    },
    "Egru": {
        **_COMMON,
        **{
            f"{name}_frac": f"a code of the input `{name}` is worth `2^-{name}_frac`"
            for name in ("update", "reset", "candidate", "recurrent")
        },
        **_parts("sigma", "sigma", _TABLE),
        **_parts("tau", "tau", _TABLE),
    },
}


def attributes(op_type: str) -> dict[str, Rule]:
    """Every attribute there can be."""
    flags = ("synapse", "adaptation", "soft", "somatic", "axonic")
    return {"version": range(1, 2), **SCHEMAS[op_type].rules(dict.fromkeys(flags, 1))}


def allowed(rule: Rule) -> str:
    """Values of an attribute, in words."""
    if isinstance(rule, tuple):
        return ", ".join(f"`{word}`" for word in rule)
    assert isinstance(rule, range)
    last = rule.stop - 1
    return f"{rule.start}" if last == rule.start else f"{rule.start} to {last}"


def table(op_type: str) -> str:
    """The table of one operator."""
    rows = ["| attribute | value | meaning |", "|---|---|---|"]
    for name, rule in attributes(op_type).items():
        rows.append(f"| `{name}` | {allowed(rule)} | {MEANINGS[op_type][name]} |")
    return "\n".join(rows)


def page() -> str:
    """The page with fresh tables."""

    def fresh(found: re.Match[str]) -> str:
        return f"<!-- attributes of {found[1]} -->\n{table(found[1])}\n<!-- / -->"

    pattern = re.compile(r"<!-- attributes of (\w+) -->\n.*?<!-- / -->", re.DOTALL)
    return pattern.sub(fresh, PAGE.read_text())


if __name__ == "__main__":
    PAGE.write_text(page())
