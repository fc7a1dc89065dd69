"""Bodies of Scan nodes: what they read, and whether they are well formed.

Names in a body may be those of the graph around it (constants, or values computed there); the
body's own names must be new. One level is supported: no Scan inside a Scan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, helper

from codesign.errors import UnsupportedModel
from codesign.frontend.names import printable

_GRAPHS = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


def body_of(node: NodeProto) -> GraphProto | None:
    """The body of a Scan node; None for any other node and for a Scan without one."""
    if node.op_type != "Scan" or node.domain not in ("", "ai.onnx"):
        return None
    found = [a for a in node.attribute if a.name == "body" and a.type == AttributeProto.GRAPH]
    return found[0].g if found else None


def own_names(body: GraphProto) -> set[str]:
    """Everything the body defines itself."""
    names = {t.name for t in body.initializer} | {i.name for i in body.input}
    return names | {name for node in body.node for name in node.output if name}


def outer_names(body: GraphProto) -> list[str]:
    """What the body reads from the graph around it, each name once."""
    own = own_names(body)
    read = [name for node in body.node for name in node.input if name]
    read += [port.name for port in body.output]
    return [name for name in dict.fromkeys(read) if name not in own]


def names_read(node: NodeProto) -> list[str]:
    """All tensors ``node`` depends on: its inputs, and what its body reads around it."""
    body = body_of(node)
    return [*filter(None, node.input), *(outer_names(body) if body is not None else ())]


def bodies(nodes: Collection[NodeProto]) -> Iterator[GraphProto]:
    """The bodies of all Scan nodes among ``nodes``."""
    for node in nodes:
        body = body_of(node)
        if body is not None:
            yield body


def check_subgraphs(node: NodeProto, place: str, *, inside: bool = False) -> None:
    """Refuse subgraphs but for the body of a Scan at the top level."""
    for attribute in node.attribute:
        if attribute.type not in _GRAPHS:
            continue
        if not inside and body_of(node) is not None and attribute.name == "body":
            continue
        hint = "control flow is not supported: export an unrolled graph, or a Scan"
        if inside:
            hint = "a Scan body cannot contain control flow: unroll the inner loop"
        what = f"attribute '{printable(attribute.name)}' is a subgraph"
        raise UnsupportedModel(what, where=place, hint=hint)


def scan_attributes(node: NodeProto) -> dict[str, object]:
    """The attributes of a Scan by name, bodies left out."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute if a.type not in _GRAPHS}


def scan_count(node: NodeProto) -> int:
    """How many inputs of a Scan are walked step by step; those before them are states."""
    return int(str(scan_attributes(node)["num_scan_inputs"]))


def check_ports(node: NodeProto, place: str) -> None:
    """As many body inputs and outputs as the node has, with names of their own."""
    body = body_of(node)
    if body is None:
        raise UnsupportedModel(
            "the Scan has no body", where=place, hint="the file is damaged: export it again"
        )
    scans = scan_attributes(node).get("num_scan_inputs")
    if not isinstance(scans, int) or not 1 <= scans <= len(node.input):
        raise UnsupportedModel(
            f"attribute 'num_scan_inputs' is {scans}, the node has {len(node.input)} inputs",
            where=place,
            hint="state variables come first, then one scan input or more",
        )
    states = len(node.input) - scans
    if len(body.input) != len(node.input) or not states <= len(body.output) == len(node.output):
        raise UnsupportedModel(
            f"its body has {len(body.input)} inputs and {len(body.output)} outputs, the node "
            f"{len(node.input)} and {len(node.output)}, {states} of them states",
            where=place,
            hint="opset 8's Scan (with sequence lengths) is not supported: convert to opset 9",
        )
    if not all(node.input):
        raise UnsupportedModel("an input is missing", where=place, hint="export the model again")
    names = Counter([i.name for i in body.input] + [t.name for t in body.initializer])
    twice = next((name for name, count in names.items() if count > 1 or not name), None)
    if twice is not None:
        raise UnsupportedModel(
            f"{names[twice]} tensors of its body are called '{printable(twice)}'",
            where=place,
            hint="names must be unique and not empty: export the model again",
        )


def unique_names(model: ModelProto) -> None:
    """Rename, in place, what two bodies of ``model`` call the same."""
    taken = {name for node in model.graph.node for name in node.output}
    taken |= {t.name for t in model.graph.initializer} | {i.name for i in model.graph.input}
    for number, body in enumerate(bodies(model.graph.node)):
        new: dict[str, str] = {}
        for name in sorted(own_names(body)):
            wish = name
            while wish in taken:
                wish = f"{wish}/scan{number}"
            taken.add(wish)
            new[name] = wish
        for item in (*body.initializer, *body.input, *body.output):
            item.name = new.get(item.name, item.name)
        for node in body.node:
            node.input[:] = [new.get(name, name) for name in node.input]
            node.output[:] = [new.get(name, name) for name in node.output]
