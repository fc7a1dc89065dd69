"""Structural checks of an ONNX graph, before any meaning is read into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    numpy_helper,
)

from codesign.errors import UnsupportedModel
from codesign.formats import Format, Real, parse_format
from codesign.frontend.load import all_tensors, check_size, supported_opsets
from codesign.frontend.names import printable
from codesign.frontend.scan import body as scan_body
from codesign.frontend.scan.body import bodies, names_read, scan_count

STANDARD = ("", "ai.onnx")
#: Operators of onnxruntime's own, which its quantizer writes.
MICROSOFT = "com.microsoft"
#: The domains under which Brevitas, FINN and QONNX have published the same quantizers.
QUANT_DOMAINS = ("onnx.brevitas", "finn.custom_op.general", "qonnx.custom_op.general", "")
QUANT_OPS = frozenset(
    {"Quant", "IntQuant", "BipolarQuant", "FloatQuant", "Trunc", "MultiThreshold"}
)

_DTYPES = frozenset(
    {
        TensorProto.FLOAT,
        TensorProto.DOUBLE,
        TensorProto.FLOAT16,
        TensorProto.INT8,
        TensorProto.INT16,
        TensorProto.INT32,
        TensorProto.INT64,
        TensorProto.UINT8,
        TensorProto.UINT16,
        TensorProto.UINT32,
        TensorProto.UINT64,
        TensorProto.BOOL,
        TensorProto.INT4,
        TensorProto.UINT4,
    }
)


#: Element types the network input may have. Integers are codes as they are.
PORTS: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "uint8",
    TensorProto.INT16: "int16",
    TensorProto.UINT16: "uint16",
}


def port_format(port: ValueInfoProto) -> Format:
    """What the network input holds: float32, or the codes of its integer type."""
    name = PORTS[port.type.tensor_type.elem_type]
    return Real() if name == "float32" else parse_format(name).codes


def where(node: NodeProto) -> str:
    """How messages name a node."""
    name = (
        printable(node.name)
        if node.name
        else "unnamed, writes " + printable(node.output[0] if node.output else "nothing")
    )
    return f"node '{name}' ({printable(node.op_type)})"


def check_model(model: ModelProto) -> None:
    """Raise :class:`UnsupportedModel` for a graph that is malformed, cyclic or ambiguous."""
    check_size(model)
    check_text(model)
    check_opsets(model)
    check_features(model)
    check_initializers(model)
    check_wiring(model)
    check_ports(model)


def _texts(model: ModelProto) -> Iterator[object]:
    yield from (o.domain for o in model.opset_import)
    yield from (f.name for f in model.functions)
    for graph in (model.graph, *bodies(model.graph.node)):
        for node in graph.node:
            yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
            for attribute in node.attribute:
                yield attribute.name
            for entry in node.metadata_props:
                yield from (entry.key, entry.value)
        for port in (*graph.input, *graph.output):
            yield port.name
            yield from (dim.dim_param for dim in port.type.tensor_type.shape.dim)
        yield from (t.name for t in graph.initializer)
        yield graph.name


def check_text(model: ModelProto) -> None:
    """Names are text: protobuf hands out bytes where they are not UTF-8."""
    broken = next((t for t in _texts(model) if not isinstance(t, str)), None)
    if broken is not None:
        raise UnsupportedModel(
            f"a name in the model is not valid UTF-8: {printable(repr(broken), 40)}",
            hint="the file is damaged: export it again",
        )


def check_opsets(model: ModelProto) -> None:
    """The standard domain has one opset, in the range we know."""
    versions = {o.version for o in model.opset_import if o.domain in STANDARD}
    low, high = supported_opsets()
    if not versions:
        raise UnsupportedModel(
            "the model imports no opset of the standard ONNX domain",
            hint=f"export it again with an opset from {low} to {high}",
        )
    if len(versions) > 1:
        raise UnsupportedModel(
            f"the model imports several opsets of the standard domain: {sorted(versions)}",
            hint="export it again",
        )
    (version,) = versions
    if not low <= version <= high:
        raise UnsupportedModel(
            f"opset {version} is not supported, only {low} to {high}",
            hint="convert it with onnx.version_converter.convert_version(model, 20)",
        )


def check_features(model: ModelProto) -> None:
    """No local functions, no sparse tensors, no control flow but Scan."""
    if model.functions:
        name = printable(model.functions[0].name)
        raise UnsupportedModel(
            f"the model defines local functions ('{name}')",
            hint="inline them with onnx.inliner.inline_local_functions",
        )
    if any(g.sparse_initializer for g in (model.graph, *bodies(model.graph.node))):
        raise UnsupportedModel(
            "the model has sparse initializers", hint="store the weights as dense tensors"
        )
    if not model.graph.node:
        raise UnsupportedModel(
            "the graph has no nodes",
            hint="Brevitas' dynamo export of recurrent layers does this: export with dynamo=False",
        )
    for node in model.graph.node:
        scan_body.check_subgraphs(node, where(node))
        if node.op_type == "Scan":
            scan_body.check_ports(node, where(node))
    for body in bodies(model.graph.node):
        for node in body.node:
            scan_body.check_subgraphs(node, where(node), inside=True)


def tensor_array(tensor: TensorProto, place: str) -> np.ndarray:
    """The tensor's numpy array; finite, of a plain dtype, with as much data as its shape says."""
    if tensor.data_type not in _DTYPES:
        kinds = TensorProto.DataType
        known = tensor.data_type in kinds.values()
        name = kinds.Name(tensor.data_type) if known else str(tensor.data_type)
        raise UnsupportedModel(
            f"element type {name} is not supported", where=place, hint="use float32 tensors"
        )
    try:
        if any(d < 0 for d in tensor.dims):
            raise ValueError("negative size")
        array = np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, OverflowError, MemoryError, KeyError):
        raise UnsupportedModel(
            f"its data does not fit its shape {tuple(tensor.dims)}",
            where=place,
            hint="the file is damaged: export it again",
        ) from None
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UnsupportedModel(
            "it contains NaN or infinity",
            where=place,
            hint="training diverged: train again with a lower learning rate",
        )
    return array


def check_initializers(model: ModelProto) -> None:
    """Initializers are named once, well formed, finite, and in the model itself."""
    for tensor in all_tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            raise UnsupportedModel(
                f"tensor '{printable(tensor.name)}' has its data in another file",
                hint="read the model with codesign.frontend.load_model(path)",
            )
    counts = Counter(t.name for t in model.graph.initializer)
    for name, count in counts.items():
        if count > 1 or not name:
            raise UnsupportedModel(
                f"{count} initializers are called '{printable(name)}'",
                hint="names must be unique and not empty: export the model again",
            )
    for graph in (model.graph, *bodies(model.graph.node)):
        for tensor in graph.initializer:
            tensor_array(tensor, f"initializer '{printable(tensor.name)}'")


def check_wiring(model: ModelProto) -> None:
    """Each tensor has one writer, each read tensor exists, and there is no cycle."""
    graph = model.graph
    constants = {t.name for t in graph.initializer}
    inputs = Counter(i.name for i in graph.input)
    for name, count in inputs.items():
        if count > 1:
            raise UnsupportedModel(
                f"{count} graph inputs are called '{printable(name)}'",
                hint="names must be unique: export the model again",
            )
    known = constants | set(inputs)
    written = _all_written(list(graph.node), known)
    for body in bodies(graph.node):
        own = {t.name for t in body.initializer} | {i.name for i in body.input}
        hidden = sorted(own & written)
        if hidden:
            raise UnsupportedModel(
                f"a Scan body and the graph around it both define '{printable(hidden[0])}'",
                hint="names must be unique: export the model again",
            )
        inner = _all_written(list(body.node), written | own)
        _all_read(list(body.node), inner)
        for port in body.output:
            if port.name not in inner:
                raise UnsupportedModel(
                    f"output '{printable(port.name)}' of a Scan body is written by no node",
                    hint="the file is damaged: export it again",
                )
        sorted_nodes(list(body.node), written | own)
    _all_read(list(graph.node), written)
    sorted_nodes(list(graph.node), known)


def _all_written(nodes: list[NodeProto], known: set[str]) -> set[str]:
    """``known`` and what ``nodes`` write, each tensor once."""
    written = set(known)
    for node in nodes:
        if not any(node.output):
            raise UnsupportedModel(
                "the node has no output", where=where(node), hint="export the model again"
            )
        for name in filter(None, node.output):
            if name in written:
                raise UnsupportedModel(
                    f"tensor '{printable(name)}' is written twice",
                    where=where(node),
                    hint="tensor names must be unique: export the model again",
                )
            written.add(name)
    return written


def _all_read(nodes: list[NodeProto], written: set[str]) -> None:
    for node in nodes:
        for name in names_read(node):
            if name not in written:
                raise UnsupportedModel(
                    f"input '{printable(name)}' is connected to nothing",
                    where=where(node),
                    hint="no node, initializer or graph input has that name",
                )


def sorted_nodes(nodes: list[NodeProto], known: set[str]) -> list[NodeProto]:
    """The nodes in execution order, stable; :class:`UnsupportedModel` when there is a cycle."""
    reads = [set(names_read(n)) for n in nodes]
    waiting = [len(names - known) for names in reads]
    readers: dict[str, list[int]] = {}
    for index, names in enumerate(reads):
        for name in names:
            readers.setdefault(name, []).append(index)
    order = [i for i, count in enumerate(waiting) if count == 0]
    for index in order:  # grows while we walk it
        for name in filter(None, nodes[index].output):
            for reader in readers.get(name, ()):
                waiting[reader] -= 1
                if waiting[reader] == 0:
                    order.append(reader)
    if len(order) < len(nodes):
        stuck = next(n for i, n in enumerate(nodes) if waiting[i] > 0)
        raise UnsupportedModel(
            "the graph has a cycle here",
            where=where(stuck),
            hint="a feed-forward graph is needed; unroll recurrent layers",
        )
    return [nodes[i] for i in _in_file_order(nodes, order)]


def _in_file_order(nodes: list[NodeProto], order: list[int]) -> list[int]:
    """The file's own order when it already is topological, else ``order``."""
    seen: set[str] = set()
    produced = {o: i for i, n in enumerate(nodes) for o in n.output if o}
    for node in nodes:
        if any(name in produced and name not in seen for name in names_read(node)):
            return order
        seen.update(node.output)
    return list(range(len(nodes)))


def check_ports(model: ModelProto) -> None:
    """One input with a fixed shape (the batch may vary), and an output that exists."""
    graph = model.graph
    constants = {t.name for t in graph.initializer}
    inputs = [i for i in graph.input if i.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(f"'{printable(i.name, 30)}'" for i in inputs[:4]) or "none"
        raise UnsupportedModel(
            f"the network must have exactly one input, this one has {len(inputs)}: {names}",
            hint="export the part of the network between one input and one output",
        )
    input_shape(inputs[0])
    if not graph.output:
        raise UnsupportedModel("the graph has no outputs", hint="export the model again")
    name = graph.output[0].name
    if name not in {o for n in graph.node for o in n.output}:
        raise UnsupportedModel(
            f"graph output '{printable(name)}' is written by no node",
            hint="Brevitas' dynamo export of recurrent layers does this: export with dynamo=False",
        )
    computed = _computed(graph, inputs[0].name) - _last_states(graph) - {name}
    others = [printable(o.name, 30) for o in graph.output[1:] if o.name in computed]
    if others:
        raise UnsupportedModel(
            f"the graph has {len(others) + 1} outputs: '{printable(name, 30)}', "
            + ", ".join(f"'{other}'" for other in others[:4]),
            where=f"output '{others[0]}'",
            hint="one output can be built: remove the others from the file, or join them "
            "(torch.cat) into one",
        )


def _computed(graph: GraphProto, name: str) -> set[str]:
    """Tensors that depend on ``name``: constants are not, which Brevitas exports beside the output
    where a module returns a QuantTensor (its scale, zero point and bit width)."""
    known = {t.name for t in graph.initializer} | {i.name for i in graph.input}
    found = {name}
    for node in sorted_nodes(list(graph.node), known):
        if found.intersection(names_read(node)):
            found.update(node.output)
    return found


def _last_states(graph: GraphProto) -> set[str]:
    """Where loops leave their states after the last step: watched, whatever reads them."""
    return {
        name
        for node in graph.node
        if node.op_type == "Scan"
        for name in node.output[: len(node.input) - scan_count(node)]
    }


def input_shape(port: ValueInfoProto) -> tuple[int, ...]:
    """Shape of the network input with its batch; a variable batch counts as 1."""
    place = f"input '{printable(port.name)}'"
    kind = port.type.tensor_type
    if kind.elem_type not in PORTS:
        raise UnsupportedModel(
            f"the network input must be float32 or integer codes ({', '.join(PORTS.values())})",
            where=place,
            hint="export with a float32 example",
        )
    dims = list(kind.shape.dim)
    if not kind.HasField("shape") or len(dims) < 2:
        raise UnsupportedModel(
            "the input needs a shape of (batch, features) or more axes",
            where=place,
            hint="export with an example input that has a batch axis",
        )
    sizes = []
    for axis, dim in enumerate(dims):
        fixed = dim.WhichOneof("value") == "dim_value"
        if axis == 0 and (not fixed or dim.dim_value <= 0):
            sizes.append(1)
            continue
        if not fixed or dim.dim_value <= 0:
            name = printable(dim.dim_param) or (str(dim.dim_value) if fixed else "unknown")
            raise UnsupportedModel(
                f"axis {axis} has no fixed size ({name})",
                where=place,
                hint="only the batch axis may vary: export with fixed shapes",
            )
        sizes.append(int(dim.dim_value))
    return tuple(sizes)
