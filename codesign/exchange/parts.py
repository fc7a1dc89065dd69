"""Parts that several neurons have: words, leaks and tables as attributes and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from codesign.exchange.attributes import Rule, Value
from codesign.exchange.schema import Parameter, unchecked
from codesign.neurons import Leak, Table, Word
from codesign.neurons.leak import PRODUCTS

FLAG = range(2)
BITS, FRAC, LEAK_FRAC = range(1, 25), range(-64, 65), range(25)


def word_attributes(prefix: str, word: Word, signed: str, overflow: str) -> dict[str, Value]:
    return {
        f"{prefix}_bits": word.bits,
        f"{prefix}_frac": word.frac,
        signed: int(word.signed),
        overflow: word.overflow,
    }


def leak_attributes(prefix: str, leak: Leak) -> dict[str, Value]:
    bits = leak.frac if leak.kind in PRODUCTS else 0
    return {f"{prefix}leak": leak.kind, f"{prefix}leak_frac_bits": bits}


def leak_parameter(
    name: str, kind: str, bits: str, frac: int, attributes: Mapping[str, Value]
) -> list[Parameter]:
    """A decay is a real number, a shift a whole one, a linear leak an amount of its state."""
    found = str(attributes[kind])
    if found == "none":
        return []
    if found in PRODUCTS:
        return [Parameter(name, int(attributes[bits]))]
    return [Parameter(name, 0 if found.startswith("shift") else frac)]


def read_word(at: Mapping[str, Value], bits: str, frac: str, signed: str, overflow: str) -> Word:
    """The word that these attributes name."""
    return Word(int(at[bits]), int(at[frac]), bool(at[signed]), str(at[overflow]))


def read_leak(
    at: Mapping[str, Value], prefix: str, name: str, codes: Mapping[str, np.ndarray]
) -> Leak:
    """The leak of attributes ``PREFIXleak...`` and parameter ``name``."""
    amount = codes.get(name, np.zeros(1, np.int64))
    return Leak(str(at[f"{prefix}leak"]), amount, int(at[f"{prefix}leak_frac_bits"]))


def other_leak(leak: Leak, name: str, found: Mapping[str, Any]) -> Leak:
    """``leak`` with the amount ``found``, unchecked."""
    return unchecked(leak, amount=found[name]) if name in found else leak


def check_leaks(attributes: Mapping[str, Value], *prefixes: str) -> None:
    """``ValueError`` where a leak that does not multiply has fraction bits."""
    for prefix in prefixes:
        kind, bits = attributes.get(f"{prefix}leak"), attributes.get(f"{prefix}leak_frac_bits")
        if kind is not None and kind not in PRODUCTS and bits != 0:
            raise ValueError(
                f"{prefix}leak_frac_bits is {bits}, but leak '{kind}' does not multiply: give 0"
            )


def table_rules(name: str) -> dict[str, Rule]:
    """The attributes of a table."""
    return {
        f"{name}_in_frac": FRAC,
        f"{name}_lo": range(-(1 << 24), (1 << 24) + 1),
        f"{name}_entries": range(1, (1 << 16) + 1),
    }


def table_attributes(name: str, table: Table) -> dict[str, Value]:
    """``table`` as attributes, but for its own fraction bits and its entries."""
    sizes = {"in_frac": table.in_frac, "lo": table.lo, "entries": len(table.codes)}
    return {f"{name}_{key}": value for key, value in sizes.items()}


def table_parameter(name: str, at: Mapping[str, Value], frac: int, sample: int = 0) -> Parameter:
    """The entries of a table."""
    return Parameter(name, frac, sample, int(at[f"{name}_entries"]))


def read_table(name: str, at: Mapping[str, Value], frac: int, codes: np.ndarray) -> Table:
    """The table of these attributes and entries."""
    return Table(int(at[f"{name}_in_frac"]), int(at[f"{name}_lo"]), frac, codes)


def check_shifts(shifts: list[int]) -> None:
    """``ValueError`` where products of two wires, brought to another scale, could leave int64."""
    if min(shifts) < -12 or max(shifts) > 48:
        raise ValueError("its fraction bits differ by more than 12 to the left, 48 to the right")
