"""QONNX's channels-last dialect: ``Conv``, ``MaxPool``, ``BatchNormalization`` of its own domain.

``ConvertToChannelsLast`` of qonnx writes them: the operators of ONNX on (batch, spatial..., C),
weights as (N, spatial..., C / group). qonnx executes them by turning their tensors around the
standard operator, and so they are read: Transposes cost nothing (see ``frontend/layout.py``).
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto, helper

from codesign.errors import UnsupportedModel
from codesign.frontend.add_batch import ALONG
from codesign.frontend.check import where

DOMAIN = "qonnx.custom_op.channels_last"
#: Operators of the domain, and how many inputs have channels: the value, the weights.
_TURNED = {"Conv": 2, "MaxPool": 1, "BatchNormalization": 1}
_RANKS = range(3, 6)


def channels_first(model: ModelProto) -> None:
    """Write the nodes of the channels-last domain as standard ones between Transposes, in place.

    Other operators of the domain stay, to be refused by name.
    """
    graph = model.graph
    if all(node.domain != DOMAIN for node in graph.node):
        return
    ranks = _Ranks(model)
    done: list[NodeProto] = []
    for node in graph.node:
        if node.domain == DOMAIN and node.op_type in _TURNED:
            done += _turned(node, ranks.of_node(node))
        else:
            done.append(node)
    nodes = [NodeProto.FromString(n.SerializeToString()) for n in done]
    del graph.node[:]
    graph.node.extend(nodes)


def _turned(node: NodeProto, rank: int) -> list[NodeProto]:
    """``node`` on tensors of ``rank`` axes, as a standard operator between Transposes."""
    first, last = [0, rank - 1, *range(1, rank - 1)], [0, *range(2, rank), 1]
    made = NodeProto()
    made.CopyFrom(node)
    made.domain = ""
    around = []
    for index, name in enumerate(node.input[: _TURNED[node.op_type]]):
        made.input[index] = f"{node.output[0]}/channels_first/{index}"
        around.append(_transpose(name, made.input[index], first))
    made.output[0] = f"{node.output[0]}/channels_first"
    return [*around, made, _transpose(made.output[0], node.output[0], last)]


def _transpose(source: str, out: str, perm: list[int]) -> NodeProto:
    return helper.make_node("Transpose", [source], [out], out, perm=perm)


class _Ranks:
    """How many axes tensors have, as far as the file says it."""

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        self._makers = {name: node for node in graph.node for name in node.output}
        self._known = {t.name: len(t.dims) for t in graph.initializer}
        for port in (*graph.input, *graph.output, *graph.value_info):
            if port.type.tensor_type.HasField("shape"):
                self._known[port.name] = len(port.type.tensor_type.shape.dim)

    def of_node(self, node: NodeProto) -> int:
        """Axes of what ``node`` reads; :class:`UnsupportedModel` where nothing tells."""
        rank = self._of_operator(node) or self._of_tensor(node.input[0] if node.input else "")
        if rank not in _RANKS:
            raise UnsupportedModel(
                "nothing says how many axes its input has" if not rank else
                f"its input has {rank} axes, not (batch, spatial..., channels)",
                where=where(node),
                hint="run qonnx's InferShapes on the model, which writes the shapes into it",
            )  # fmt: skip
        return rank

    def _of_operator(self, node: NodeProto) -> int:
        """What the kernel says, or 0."""
        kernel = next((len(a.ints) for a in node.attribute if a.name == "kernel_shape"), 0)
        weights = node.input[1] if node.op_type == "Conv" and len(node.input) > 1 else ""
        return kernel + 2 if kernel else self._of_tensor(weights)

    def _of_tensor(self, name: str) -> int:
        while name not in self._known:
            node = self._makers.get(name)
            if node is None:
                return 0
            perm = next((len(a.ints) for a in node.attribute if a.name == "perm"), 0)
            if perm or (node.domain == DOMAIN and self._of_operator(node)):
                return perm or self._of_operator(node)
            if node.op_type not in ALONG and node.domain != DOMAIN:
                return 0
            name = node.input[0] if node.input else ""
        return self._known[name]
