"""Attributes of an operator: all of them mandatory, none unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onnx import AttributeProto, NodeProto

from codesign.errors import UnsupportedModel
from codesign.exchange.domain import VERSION, error, printable

Value = int | str
#: With lists of integers, which decoders have.
Setting = Value | tuple[int, ...]


@dataclass(frozen=True)
class Numbers:
    """A list of ``count`` integers in ``each``."""

    count: int
    each: range


#: What an attribute may be: any integer, a range of integers, one of some words, or a list.
Rule = type[int] | range | tuple[str, ...] | Numbers


def read_attributes(
    node: NodeProto, rules: Callable[[Mapping[str, Value]], Mapping[str, Rule]]
) -> dict[str, Value]:
    """The attributes of ``node`` in the order of ``rules``, which says from what is there what
    must be.

    Raises :class:`UnsupportedModel` naming the first that is missing, unknown or wrong.
    """
    found = read_settings(node, rules)
    return {name: value for name, value in found.items() if not isinstance(value, tuple)}


def read_settings(
    node: NodeProto, rules: Callable[[Mapping[str, Value]], Mapping[str, Rule]]
) -> dict[str, Setting]:
    """As :func:`read_attributes`, of an operator that has lists too; ``rules`` do not see those."""
    found = {a.name: _value(node, a) for a in node.attribute}
    wanted = rules({name: v for name, v in found.items() if not isinstance(v, tuple)})
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


def check_operator(node: NodeProto) -> None:
    """Raise :class:`UnsupportedModel` where ``node`` says another version than this codesign's."""
    found = next((a for a in node.attribute if a.name == "version"), None)
    if found is not None and found.type == AttributeProto.INT and found.i != VERSION:
        what = f"version {found.i} of {node.op_type}, this codesign knows version {VERSION}"
        raise error(node, what, "install a codesign of the file's age, or export the model again")


def check_one_port(node: NodeProto) -> None:
    """Raise :class:`UnsupportedModel` where ``node`` has other ports than one in and one out."""
    if (len(node.input), len(node.output)) != (1, 1) or not all((*node.input, *node.output)):
        what = f"it has {len(node.input)} inputs and {len(node.output)} outputs"
        raise error(node, what, "give it what it reads, and its result: one input, one output")


def _value(node: NodeProto, attribute: AttributeProto) -> Setting:
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
    if attribute.type == AttributeProto.INTS:
        return tuple(int(n) for n in attribute.ints)
    raise _mistyped(node, attribute.name, AttributeProto.AttributeType.Name(attribute.type))


def _mistyped(node: NodeProto, name: str, kind: str) -> UnsupportedModel:
    what = f"attribute '{printable(name)}' is of type {kind}"
    return error(node, what, "docs/EXCHANGE.md has the type of each attribute")


def _check(node: NodeProto, name: str, value: Setting, rule: Rule) -> None:
    if isinstance(value, tuple) or isinstance(rule, Numbers):
        _check_numbers(node, name, value, rule)
        return
    wanted = str if isinstance(rule, tuple) else int
    if isinstance(value, wanted) and (rule is int or value in rule):  # type: ignore[operator]
        return
    text = f"'{printable(value)}'" if isinstance(value, str) else str(value)
    raise error(node, f"attribute '{name}' is {text}", f"give {_allowed(rule)}")


def _check_numbers(node: NodeProto, name: str, value: Setting, rule: Rule) -> None:
    if not isinstance(value, tuple) or not isinstance(rule, Numbers):
        kinds = {tuple: "INTS", int: "INT", str: "STRING"}
        raise _mistyped(node, name, kinds[type(value)])
    if len(value) != rule.count:
        what = f"attribute '{name}' has {len(value)} numbers"
        raise error(node, what, f"give {_allowed(rule)}")
    for number in value:
        if number not in rule.each:
            raise error(node, f"attribute '{name}' has {number}", f"give {_allowed(rule)}")


def _allowed(rule: Rule) -> str:
    if isinstance(rule, Numbers):
        return f"{rule.count} integers {rule.each.start} to {rule.each.stop - 1}"
    if isinstance(rule, tuple):
        return "one of " + ", ".join(rule)
    if isinstance(rule, range):
        return f"an integer {rule.start} to {rule.stop - 1}"
    return "an integer"
