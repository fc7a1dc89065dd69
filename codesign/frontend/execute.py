"""Second opinion: the same file executed by qonnx, every tensor kept.

qonnx builds an onnxruntime session for each node, so a batch is pushed through at once: the
batch axis of the model is set to the number of frames.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from codesign.errors import ToolError, UsageError
from codesign.exchange import is_neuron
from codesign.frontend.check import MICROSOFT, input_shape
from codesign.frontend.layout import Axes
from codesign.frontend.names import printable
from codesign.frontend.qonnx import Imported
from codesign.frontend.scan.body import body_of, scan_count
from codesign.frontend.scan.unroll import unroll
from codesign.frontend.unsigned_weights import with_unsigned_weights

#: Frames at once, and float32 numbers at once: every tensor of a chunk is kept.
CHUNK = 2048
NUMBERS = 1 << 26


def execute_batch(
    imported: Imported, inputs: np.ndarray, tensors: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """Run ``inputs`` [n, ...] through qonnx; ONNX tensor name to array, batch first.

    ``inputs``: float32, or whole numbers where the network input is an integer type.

    ``tensors``: the ONNX names to return; by default every value the graph computes.
    """
    model = imported.model
    wanted = list(tensors) if tensors is not None else list(imported.tensor_names.values())
    shape = input_shape(model.graph.input[0])
    dtype = helper.tensor_dtype_to_np_dtype(model.graph.input[0].type.tensor_type.elem_type)
    inputs = np.ascontiguousarray(inputs, dtype=dtype).reshape(-1, *shape[1:])
    if not len(inputs):
        raise UsageError("no inputs to execute")
    if any(node.op.carries for node in imported.graph.nodes):
        return _one_by_one(imported, inputs, wanted)
    runner = _Runner(imported, shape[0])
    numbers = sum(math.prod(s) for s in imported.tensor_shapes.values())
    chunk = max(shape[0], min(CHUNK, NUMBERS // max(1, numbers)) // shape[0] * shape[0])
    parts = [runner(inputs[i : i + chunk], wanted) for i in range(0, len(inputs), chunk)]
    return {name: np.concatenate([part[name] for part in parts]) for name in wanted}


def _one_by_one(imported: Imported, inputs: np.ndarray, wanted: list[str]) -> dict[str, np.ndarray]:
    """Frames whose states go on from one to the next: each starts where the last one ended."""
    scans = [(n, body) for n in imported.model.graph.node if (body := body_of(n)) is not None]
    carried = [
        (start, body.output[index].name)
        for node, body in scans
        for index, start in enumerate(node.input[: len(node.input) - scan_count(node)])
    ]
    runner = _Runner(imported, 1)
    parts = []
    for frame in inputs:
        parts.append(runner(frame[None], [*wanted, *(after for _, after in carried)]))
        for start, after in carried:
            runner.start_from(start, parts[-1][after][:, -1])
    return {name: np.concatenate([part[name] for part in parts]) for name in wanted}


class _Runner:
    """Runs chunks; falls back to frame by frame when the model fixes its batch in a way that
    cannot be lifted."""

    def __init__(self, imported: Imported, batch: int) -> None:
        self._imported = imported
        self._batch = batch
        self._ready: dict[int, tuple[Any, dict[str, list[str]]]] = {}
        self._single = False

    def start_from(self, name: str, state: np.ndarray) -> None:
        """Let the initial state ``name`` be ``state``, float32 [1, ...]."""
        for model, _ in self._ready.values():
            model.set_initializer(name, state)

    def __call__(self, inputs: np.ndarray, wanted: list[str]) -> dict[str, np.ndarray]:
        if not self._single:
            try:
                return self._run(inputs, wanted)
            except ToolError:
                if len(inputs) == self._batch:
                    raise
                self._single = True
        step = self._batch
        if len(inputs) % step:
            raise UsageError(f"this model needs a multiple of {step} frames, got {len(inputs)}")
        parts = [self._run(inputs[i : i + step], wanted) for i in range(0, len(inputs), step)]
        return {name: np.concatenate([p[name] for p in parts]) for name in wanted}

    def _run(self, inputs: np.ndarray, wanted: list[str]) -> dict[str, np.ndarray]:
        from qonnx.core.onnx_exec import execute_onnx

        count = len(inputs)
        port = self._imported.model.graph.input[0].name
        try:
            if count not in self._ready:
                model, steps = with_batch(self._imported, count)
                self._ready = {count: (_wrap(with_unsigned_weights(model)), steps)}
            wrapped, steps = self._ready[count]
            with warnings.catch_warnings():  # about shapes, which are checked below
                warnings.simplefilter("ignore")
                context = execute_onnx(wrapped, {port: inputs}, True)
            found = {
                name: np.stack([context[n] for n in steps[name]], axis=1)
                if name in steps
                else np.asarray(context[name])
                for name in wanted
            }
        except Exception as error:  # qonnx raises bare Exception
            reason = printable(str(error).split("\n")[0] or type(error).__name__, 200)
            raise ToolError(f"qonnx cannot run the model: {reason}") from error
        for name, array in found.items():
            if array.shape[:1] != (count,):
                what = f"qonnx gave tensor '{printable(name)}' the shape {array.shape}"
                raise ToolError(f"{what} for {count} frames")
        return found


def _wrap(model: ModelProto) -> Any:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.infer_shapes import InferShapes

    return ModelWrapper(model).transform(InferShapes())


def with_batch(imported: Imported, batch: int) -> tuple[ModelProto, dict[str, list[str]]]:
    """A copy of the cleaned model whose batch axis has ``batch`` frames, also where a Reshape,
    an Expand or a Resize names the sizes of its result; Scans are unrolled, and each tensor of a
    body has the names of its steps."""
    out = ModelProto()
    out.CopyFrom(imported.model)
    graph = out.graph
    shape = input_shape(graph.input[0])
    kind = graph.input[0].type.tensor_type.elem_type
    port = helper.make_tensor_value_info(graph.input[0].name, kind, (batch, *shape[1:]))
    del graph.input[:]
    graph.input.append(port)
    _describe(imported, graph, batch)
    unrolled = unroll(out, imported.tensor_shapes, batch)
    _describe_neurons(graph, unrolled.shapes, batch)
    if batch == shape[0]:
        return out, unrolled.steps
    shapes = {**imported.tensor_shapes, **unrolled.shapes}
    taken = {t.name for t in graph.initializer} | {o for n in graph.node for o in n.output}
    for number, node in enumerate(graph.node):
        index = _TARGETS.get(node.op_type)
        result = shapes.get(node.output[0])
        if index is None or result is None or index >= len(node.input) or not node.input[index]:
            continue
        name = f"codesign_target_{number}"
        while name in taken:
            name += "_"
        target = np.array([batch, *result], dtype=np.int64)
        graph.initializer.append(numpy_helper.from_array(target, name))
        node.input[index] = name
    return out, unrolled.steps


def _describe(imported: Imported, graph: GraphProto, batch: int) -> None:
    """Note the results of onnxruntime's own operators, which onnx cannot infer: integers of the
    type of their zero point, which is their last scalar."""
    types = {t.name: t.data_type for t in graph.initializer}
    integers = {TensorProto.INT8, TensorProto.UINT8}
    for node in graph.node:
        if node.domain != MICROSOFT or node.output[0] == graph.output[0].name:
            continue
        kinds = [types[i] for i in node.input if types.get(i) in integers]
        shape = (batch, *imported.tensor_shapes[node.output[0]])
        info = helper.make_tensor_value_info(node.output[0], kinds[-1], shape)
        graph.value_info.append(info)


def _describe_neurons(graph: GraphProto, shapes: Mapping[str, Axes], batch: int) -> None:
    """Note what neurons read, whose shapes qonnx must know before it infers any."""
    read = {node.input[0] for node in graph.node if is_neuron(node)}
    for name in sorted(read & set(shapes)):
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, (batch, *shapes[name]))
        graph.value_info.append(info)


#: Which input of an operator is the shape of its result.
_TARGETS = {"Reshape": 1, "Expand": 1, "Resize": 3}
