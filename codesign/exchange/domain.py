"""Our ONNX domain. Its name is also the Python module where qonnx finds the operators."""

from __future__ import annotations

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

from codesign.errors import UnsupportedModel

DOMAIN = "codesign.exchange.ops"

#: The version of the domain, and of each of its operators so far.
VERSION = 1

#: Every code on a float32 wire is an integer of at most this size, so that float32 is exact.
LIMIT = 1 << 24

#: The operators that make steps of a network's input.
ENCODERS = frozenset(
    {"RateEncoder", "LatencyEncoder", "DirectEncoder", "CountEncoder", "DeltaEncoder"}
)

#: The operators that smooth what a network puts out.
DECODERS = frozenset({"BesselDecoder"})


def printable(text: str, limit: int = 80) -> str:
    """``text`` of a file for a message: one line of printable characters."""
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return plain if len(plain) <= limit else plain[: limit - 3] + "..."


def where(node: NodeProto) -> str:
    """How an error names ``node``."""
    label = f"node '{printable(node.name)}'" if node.name else "a node without name"
    return f"{label} ({printable(node.op_type)})"


def error(node: NodeProto, what: str, hint: str) -> UnsupportedModel:
    """The error to raise about ``node``."""
    return UnsupportedModel(what, where=where(node), hint=hint)


def is_ours(node: NodeProto) -> bool:
    """Whether ``node`` is an operator of our domain."""
    return node.domain == DOMAIN


def is_encoder(node: NodeProto) -> bool:
    """Whether ``node`` is an encoder of our domain."""
    return is_ours(node) and node.op_type in ENCODERS


def is_decoder(node: NodeProto) -> bool:
    """Whether ``node`` is a decoder of our domain."""
    return is_ours(node) and node.op_type in DECODERS


def is_neuron(node: NodeProto) -> bool:
    """Whether ``node`` is an operator of our domain that has, or may have, states."""
    return is_ours(node) and node.op_type not in ENCODERS | DECODERS


def graphs(graph: GraphProto) -> list[GraphProto]:
    """``graph`` and the graphs inside its nodes."""
    found = [graph]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                found += graphs(attribute.g)
    return found


def check_version(model: ModelProto) -> None:
    """Refuse a model whose neurons or encoders are of a version this codesign does not know.

    Raises :class:`UnsupportedModel`, also where the model does not import the domain at all.
    """
    found_here = [n for g in graphs(model.graph) for n in g.node if is_ours(n)]
    if not found_here:
        return
    versions = [o.version for o in model.opset_import if o.domain == DOMAIN]
    if versions == [VERSION]:
        return
    found = f"version {versions[0]}" if len(versions) == 1 else f"{len(versions)} versions"
    raise error(
        found_here[0],
        f"the file imports {found} of domain '{DOMAIN}', this codesign knows version {VERSION}",
        "install a codesign of the file's age, or export the model again with this one",
    )
