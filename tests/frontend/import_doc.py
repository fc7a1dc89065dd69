"""The generated part of docs/IMPORT.md: one row for each registered handler.

``python -m tests.frontend.import_doc`` writes it; ``test_import_doc.py`` checks that it is fresh.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnx import helper

from codesign import exchange
from codesign.errors import CodesignError
from codesign.frontend import qonnx
from codesign.frontend.clean import QUANT_DOMAIN
from codesign.frontend.context import HANDLERS, Context, Handler
from codesign.frontend.fold import FOLDABLE
from tests.frontend.parts import constants, model_of, quant

PAGE = Path(__file__).parents[2] / "docs" / "IMPORT.md"
BEGIN, END = "<!-- generated: python -m tests.frontend.import_doc -->", "<!-- /generated -->"
COMMAND = ".venv/bin/python -m tests.frontend.import_doc"
_BOGUS = "attribute_of_no_operator"


def accepted(operator: str, domain: str) -> list[str] | None:
    """Attributes the handler knows, as its own error message lists them; None when it refuses
    the operator before it reads any."""
    for inputs in _inputs():
        ctx = Context(model_of([quant("x", "q")], _constants(), shape=(1, 3, 8, 8)))
        for node in ctx.model.graph.node:
            node.domain = QUANT_DOMAIN
            qonnx.import_node(ctx, node)
        node = helper.make_node(operator, inputs, ["out"], "probe", domain=domain, **{_BOGUS: 1})
        try:
            HANDLERS[domain, operator](ctx, node)
        except CodesignError as error:
            found = re.fullmatch(rf"supported attributes of {operator}: (.*)", error.hint)
            if _BOGUS in error.what and found:
                return [] if found[1] == "none" else found[1].split(", ")
    return None


def _constants() -> dict[str, np.ndarray]:
    ones = np.ones((3, 3, 1, 1), np.uint8)
    zero = np.uint8(0)
    return {**constants(), "w8": ones, "z8": zero}


def _inputs() -> Iterator[list[str]]:
    """Numbers and kinds of inputs under which one handler or another reads its attributes."""
    for count in range(1, 7):
        yield ["q"] * count
        yield ["q", *["s"] * (count - 1)]
        yield ["q", "s", "z", "bits", "bits", "bits"][:count]
    yield ["q", "w8", "z8", "z8"]
    yield ["q", "s", "z8", "w8", "s", "z8", "s", "z8"]


def table() -> str:
    """The generated part of the page."""
    rows = ["| operator | attributes | what is computed |", "|---|---|---|"]
    for handler, keys in sorted(_handlers().items(), key=lambda item: sorted(item[1])):
        for known, names in sorted(_by_attributes(keys).items(), key=lambda item: sorted(item[1])):
            operators = ", ".join(f"`{name}`" for name in sorted(names))
            rows.append(f"| {operators} | {known} | {_sentence(handler)} |")
    folded = ", ".join(f"`{name}`" for name in sorted(FOLDABLE))
    return "\n".join([*rows, "", f"Computed at import when all inputs are constant: {folded}."])


def _handlers() -> dict[Handler, list[tuple[str, str]]]:
    found: dict[Handler, list[tuple[str, str]]] = {}
    for key, handler in HANDLERS.items():
        found.setdefault(handler, []).append(key)
    return found


def _by_attributes(keys: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Attribute list -> operators of one handler that share it."""
    found: dict[str, list[str]] = {}
    for domain, operator in keys:
        if domain == exchange.DOMAIN:
            found.setdefault("[EXCHANGE.md](EXCHANGE.md)", []).append(operator)
            continue
        names = accepted(operator, domain)
        text = "refused" if names is None else ", ".join(f"`{n}`" for n in names) or "none"
        found.setdefault(text, []).append(operator)
    return found


def _sentence(handler: Handler) -> str:
    text = " ".join((handler.__doc__ or "").split())
    return text.replace("``", "`").replace("|", "\\|")


def page() -> str:
    """The whole page with a fresh table."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page())
