"""The model as a build folder computes it: the host's part before, the circuit, the host's after.

Reads only the folder. The circuit is the integer reference, to which ``verify`` proves the RTL
equal; what lies around it is evaluated as docs/HOST.md says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from codesign.builddir import BuildDir
from codesign.errors import UsageError
from codesign.formats import Real
from codesign.frontend import Imported, import_qonnx
from codesign.host.steps import targets
from codesign.ir import Value
from codesign.ir.serialize import load_graph
from codesign.plan import Circuit, partition
from codesign.reference import run
from codesign.reference.boundaries import boundaries

_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)


@dataclass(frozen=True)
class HostModel:
    """``imported``: the model of the folder; ``circuit``: its lowered graph, cut."""

    imported: Imported
    circuit: Circuit

    @staticmethod
    def open(build: BuildDir) -> HostModel:
        """The model in the folder ``build``."""
        imported = import_qonnx(build.root / "model" / "model.onnx")
        return HostModel(imported, partition(load_graph(build.root / "model")))

    def predict(self, x: np.ndarray) -> np.ndarray | dict[str, np.ndarray]:
        """The model's outputs for inputs ``x`` (numbers [n, ...] as the network takes them), in
        the shape the model has them: float32, or int64 where they are integers. One array, or one
        by name where there are several."""
        ports = self.imported.model.graph.output
        names = list(self.circuit.graph.outputs)
        found = run(self.circuit.graph, self._given(x), keep=names)
        made = {}
        for port, name in zip(ports, names, strict=False):
            value, array = self.circuit.graph.values[name], found[name]
            if port.type.tensor_type.elem_type in _FLOATS:
                array = value.format.decode(array)
            axes = self.imported.output_axes[port.name]
            made[port.name] = array.transpose(0, *(1 + a for a in axes))
        return next(iter(made.values())) if len(made) == 1 else made

    def trace(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """What the model has at every boundary for inputs ``x``: float32 values (int64 indices),
        by the names and in the shapes of the model's tensors."""
        points = boundaries(
            self.circuit.graph, self.imported.tensor_names, self.imported.tensor_axes
        )
        values = {p.value.name: p.value for p in points}
        found = run(self.circuit.graph, self._given(x), keep=values)
        names = self.imported.tensor_names
        return {
            names[name]: self._as_in_file(value, value.format.decode(found[name]))
            for name, value in values.items()
        }

    def codes(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """What the circuit emits for inputs ``x``: int64 [n, elements] by tensor."""
        names = [value.name for value in targets(self.circuit)]
        found = run(self.circuit.graph, self._given(x), keep=names)
        return {name: found[name].reshape(len(x), -1) for name in names}

    def after(
        self, codes: dict[str, np.ndarray], wanted: Iterable[str] = ()
    ) -> dict[str, np.ndarray]:
        """The graph's outputs (and values ``wanted``), computed by the host alone from ``codes``
        as :meth:`codes` has them."""
        graph = self.circuit.graph
        given = {
            name: array.reshape(-1, *graph.values[name].shape) for name, array in codes.items()
        }
        return run(graph, given, keep=wanted)

    def _given(self, x: np.ndarray) -> dict[str, np.ndarray]:
        graph = self.circuit.graph
        (name,) = graph.inputs
        value = graph.values[name]
        array = np.asarray(x)
        if array.dtype.kind not in "fiub" or array.ndim < 1 or array.shape[1:] != value.shape:
            sizes = ", ".join(str(size) for size in value.shape)
            raise UsageError(
                f"inputs are {array.dtype} of shape {array.shape}",
                hint=f"give numbers of shape (frames, {sizes})",
            )
        kind = np.float32 if isinstance(value.format, Real) else np.int64
        return {name: array.astype(kind)}

    def _as_in_file(self, value: Value, array: np.ndarray) -> np.ndarray:
        """``array`` [n, *value.shape] with the axes and the shape of the model's tensor."""
        axes = self.imported.tensor_axes.get(value.name)
        if axes is not None:
            array = array.transpose(0, *(1 + a for a in axes))
        tensor = self.imported.tensor_names.get(value.name, "")
        shape = self.imported.tensor_shapes.get(tensor)
        return array if shape is None else array.reshape(len(array), *shape)
