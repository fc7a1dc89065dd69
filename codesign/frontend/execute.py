"""Second opinion: the same file executed by qonnx, every tensor kept.

qonnx builds an onnxruntime session for each node, so a batch is pushed through at once: the
batch axis of the model is set to the number of frames.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from onnx import ModelProto, helper, numpy_helper

from codesign.errors import ToolError, UsageError
from codesign.frontend.check import input_shape
from codesign.frontend.names import printable
from codesign.frontend.qonnx import Imported

CHUNK = 2048


def execute_batch(
    imported: Imported, inputs: np.ndarray, tensors: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """Run ``inputs`` (float32 [n, ...]) through qonnx; ONNX tensor name to array, batch first.

    ``tensors``: the ONNX names to return; by default every value the graph computes.
    """
    model = imported.model
    wanted = list(tensors) if tensors is not None else list(imported.tensor_names.values())
    shape = input_shape(model.graph.input[0])
    inputs = np.ascontiguousarray(inputs, dtype=np.float32).reshape(-1, *shape[1:])
    if not len(inputs):
        raise UsageError("no inputs to execute")
    runner = _Runner(model, shape[0])
    parts = [runner(inputs[i : i + CHUNK], wanted) for i in range(0, len(inputs), CHUNK)]
    return {name: np.concatenate([part[name] for part in parts]) for name in wanted}


class _Runner:
    """Runs chunks; falls back to frame by frame when the model fixes its batch in a way that
    cannot be lifted."""

    def __init__(self, model: ModelProto, batch: int) -> None:
        self._model = model
        self._batch = batch
        self._ready: dict[int, Any] = {}
        self._single = False

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
        port = self._model.graph.input[0].name
        try:
            if count not in self._ready:
                self._ready = {count: _wrap(with_batch(self._model, count))}
            with warnings.catch_warnings():  # about shapes, which are checked below
                warnings.simplefilter("ignore")
                context = execute_onnx(self._ready[count], {port: inputs}, True)
            found = {name: np.asarray(context[name]) for name in wanted}
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


def with_batch(model: ModelProto, batch: int) -> ModelProto:
    """A copy of a cleaned model whose batch axis has ``batch`` frames, also in constant
    ``Reshape`` targets."""
    out = ModelProto()
    out.CopyFrom(model)
    shape = input_shape(out.graph.input[0])
    old = shape[0]
    port = helper.make_tensor_value_info(out.graph.input[0].name, 1, (batch, *shape[1:]))
    del out.graph.input[:]
    out.graph.input.append(port)
    constants = {t.name: t for t in out.graph.initializer}
    producers = {node.output[0]: node for node in out.graph.node if node.op_type == "Constant"}
    for node in out.graph.node:
        if node.op_type != "Reshape" or len(node.input) < 2:
            continue
        tensor = constants.get(node.input[1])
        if tensor is None and node.input[1] in producers:
            attribute = producers[node.input[1]].attribute
            tensor = attribute[0].t if attribute and attribute[0].HasField("t") else None
        if tensor is not None:
            with contextlib.suppress(ValueError):
                _lift(tensor, old, batch)
    return out


def _lift(tensor: Any, old: int, batch: int) -> None:
    """Replace a leading ``old`` batch in a Reshape target by ``batch``."""
    target = numpy_helper.to_array(tensor).copy()
    if target.ndim == 1 and target.size > 1 and target[0] == old:
        target[0] = batch
        tensor.CopyFrom(numpy_helper.from_array(target, tensor.name))
