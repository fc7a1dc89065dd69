"""docs/EXCHANGE.md says what the code does."""

from __future__ import annotations

import re
import subprocess
import sys

from codesign.exchange import DOMAIN, Metadata, with_functions
from codesign.exchange.coders import encoder_rules
from codesign.exchange.decoder import decoder_rules
from codesign.exchange.domain import DECODERS, ENCODERS
from codesign.exchange.metadata import KEY
from codesign.exchange.schema import SCHEMAS
from codesign.neurons import LEAKS, OVERFLOWS, ROUNDINGS
from tests.exchange import exchange_doc
from tests.exchange.neurons import layer, lif

TEXT = exchange_doc.PAGE.read_text()


def test_the_tables_are_fresh() -> None:
    assert exchange_doc.page() == TEXT, f"run {exchange_doc.COMMAND}"
    assert set(re.findall(r"<!-- attributes of (\w+) -->", TEXT)) == set(SCHEMAS)


def test_the_example_runs() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.match(r"[1-8] spikes; \[", done.stdout)


def test_every_choice_field_and_parameter_is_named() -> None:
    names = [DOMAIN, KEY, *Metadata.model_fields, *OVERFLOWS, *ROUNDINGS, *LEAKS]
    for op_type in SCHEMAS:
        flags = dict.fromkeys(("synapse", "adaptation", "soft", "somatic", "axonic"), 1)
        rules = SCHEMAS[op_type].rules(flags)
        largest = {n: r[-1] if isinstance(r, tuple) else r.start for n, r in rules.items()}
        largest |= {n: v for n, v in flags.items() if n in rules}
        names += [p.name for p in SCHEMAS[op_type].parameters(largest)]
    assert [name for name in names if f"`{name}`" not in TEXT] == []


def test_every_encoder_and_decoder_is_described() -> None:
    names = [*ENCODERS, *DECODERS, *decoder_rules({"order": 2})]
    names += [name for op_type in ENCODERS for name in encoder_rules(op_type)]
    assert [name for name in names if f"`{name}`" not in TEXT] == []


def test_the_operators_of_bodies_are_those_named() -> None:
    section = TEXT.split("## As standard operators")[1].split("## ")[0]
    (function,) = with_functions(layer(lif())).functions
    plain = {"Constant", "Cast", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"}
    plain |= {"Not", "And", "Or"}
    for node in function.node:
        assert node.op_type in plain or f"`{node.op_type}`" in section, node.op_type
