"""Attributes of an operator: all of them mandatory, none unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnx import AttributeProto, NodeProto

from codesign.exchange.domain import error, printable

Value = int | str
#: What an attribute may be: any integer, a range of integers, or one of some words.
Rule = type[int] | range | tuple[str, ...]


def read_attributes(
    node: NodeProto, rules: Callable[[Mapping[str, Value]], Mapping[str, Rule]]
) -> dict[str, Value]:
    """The attributes of ``node`` in the order of ``rules``, which says from what is there what
    must be.

    Raises :class:`UnsupportedModel` naming the first that is missing, unknown or wrong.
    """
    found = {a.name: _value(node, a) for a in node.attribute}
    wanted = rules(found)
    for name in wanted:
        if name not in found:
            hint = (
                f"give {_allowed(wanted[name])}: every attribute is mandatory, none has a default"
            )
            raise error(node, f"attribute '{name}' is missing", hint)
    for name, rule in wanted.items():
        _check(node, name, found[name], rule)
    for name in found:
        if name not in wanted:
            raise error(
                node,
                f"attribute '{printable(name)}' is not known here",
                f"{node.op_type} has {', '.join(wanted)}",
            )
    return {name: found[name] for name in wanted}


def _value(node: NodeProto, attribute: AttributeProto) -> Value:
    if attribute.ref_attr_name:
        raise error(
            node,
            f"attribute '{printable(attribute.name)}' refers to one of a function around it",
            "inline the function first",
        )
    if attribute.type == AttributeProto.INT:
        return int(attribute.i)
    if attribute.type == AttributeProto.STRING:
        return attribute.s.decode("utf-8", "backslashreplace")
    kind = AttributeProto.AttributeType.Name(attribute.type)
    raise error(
        node,
        f"attribute '{printable(attribute.name)}' is of type {kind}",
        "attributes of neurons are integers and strings",
    )


def _check(node: NodeProto, name: str, value: Value, rule: Rule) -> None:
    wanted = str if isinstance(rule, tuple) else int
    if isinstance(value, wanted) and (rule is int or value in rule):  # type: ignore[operator]
        return
    text = f"'{printable(value)}'" if isinstance(value, str) else str(value)
    raise error(node, f"attribute '{name}' is {text}", f"give {_allowed(rule)}")


def _allowed(rule: Rule) -> str:
    if isinstance(rule, tuple):
        return "one of " + ", ".join(rule)
    if isinstance(rule, range):
        return f"an integer {rule.start} to {rule.stop - 1}"
    return "an integer"
