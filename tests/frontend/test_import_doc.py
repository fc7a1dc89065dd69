"""docs/IMPORT.md lists what the importer really has."""

from __future__ import annotations

import re

from codesign import exchange
from codesign.formats import MAX_ACTIVATION_BITS
from codesign.formats.rounding import ROUNDING
from codesign.frontend import load
from codesign.frontend.check import QUANT_DOMAINS, QUANT_OPS
from codesign.frontend.clean import QUANT_DOMAIN
from codesign.frontend.context import HANDLERS
from tests.frontend import import_doc


def test_the_table_is_fresh() -> None:
    assert import_doc.page() == import_doc.PAGE.read_text(), f"run {import_doc.COMMAND}"


def test_every_handler_is_in_the_table_and_says_what_it_computes() -> None:
    text = import_doc.table()
    for _, operator in HANDLERS:
        assert f"`{operator}`" in text
    assert all(handler.__doc__ for handler in HANDLERS.values())


def test_attributes_are_read_from_the_handlers() -> None:
    assert import_doc.accepted("Conv", "") == [
        "auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"
    ]  # fmt: skip
    assert import_doc.accepted("Quant", QUANT_DOMAIN) == ["narrow", "rounding_mode", "signed"]
    assert import_doc.accepted("Relu", "") == []
    unread = {
        op for q, op in HANDLERS if import_doc.accepted(op, q) is None and q != exchange.DOMAIN
    }
    assert unread <= {"DynamicQuantizeLinear"}, "give import_doc._inputs a form that reaches them"


def test_numbers_and_names_in_the_text() -> None:
    text = import_doc.PAGE.read_text()
    assert all(f"`{mode}`" in text for mode in ROUNDING)
    assert all(f"`{domain}`" in text for domain in QUANT_DOMAINS if domain)
    assert all(f"`{name}`" in text for name in QUANT_OPS)
    assert f"1 to {MAX_ACTIVATION_BITS} bits" in text
    low, _ = load.supported_opsets()
    assert f"from {low} " in text
    assert f"{load.MAX_NODES:,} nodes" in text


def test_what_the_page_calls_refused_has_no_handler() -> None:
    section = import_doc.PAGE.read_text().split("## What is refused")[1]
    rows = re.findall(r"^\| operators? (.*?) \|", section, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(named) > 10
    assert not named & {operator for _, operator in HANDLERS}
