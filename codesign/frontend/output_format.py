"""An explicit quantizer at the end of a network, so that the circuit computes all of it."""

from __future__ import annotations

from onnx import ModelProto, TensorProto, helper

from codesign.errors import UnsupportedModel
from codesign.formats import QuantFormat
from codesign.frontend.check import QUANT_OPS
from codesign.frontend.input_format import quantizer
from codesign.frontend.names import printable

#: Whose outputs are indices already.
_INDICES = {"ArgMax", "ArgMin", "TopK"}


def quantize_output(model: ModelProto, format: QuantFormat) -> ModelProto:
    """Put a quantizer of ``format`` behind the first output of ``model``.

    Values are rounded to the nearest code, ties to even, and saturate. What comes before the
    quantizer is then a function from an accumulator to a code, which the circuit has exactly.

    Returns
    -------
    A copy, whose output is called ``<old>_quantized``.

    Raises
    ------
    UnsupportedModel
        If the output is codes or indices already, or has no axis of as many channels.
    """
    out = ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    if not graph.output:
        return out  # refused by name where the model is checked
    old = graph.output[0]
    last = next((n for n in graph.node if old.name in n.output), None)
    kind = old.type.tensor_type.elem_type
    if last is not None and last.op_type in QUANT_OPS | {"DequantizeLinear"}:
        what, is_codes = f"node '{printable(last.name)}' ({last.op_type}) quantizes it", True
    else:
        is_codes = kind not in (0, TensorProto.FLOAT) or (
            last is not None and last.op_type in _INDICES
        )
        what = "it is whole numbers"
    if is_codes:
        raise UnsupportedModel(
            f"an output format {format} is given, but {what} already",
            where=f"output '{printable(old.name)}'",
            hint="leave the output format out",
        )
    taken = {t.name for t in graph.initializer} | {o for n in graph.node for o in n.output}
    name = next(
        n for k in range(len(taken) + 1) if (n := f"{old.name}_quantized{k or ''}") not in taken
    )
    dims = [d.dim_value or d.dim_param for d in old.type.tensor_type.shape.dim]
    shape = tuple(d if isinstance(d, int) else 1 for d in dims)
    place = f"output '{printable(old.name)}'"
    graph.node.append(quantizer(out, old.name, name, format, shape, place))
    known = old.type.tensor_type.HasField("shape")
    port = helper.make_tensor_value_info(name, TensorProto.FLOAT, dims if known else None)
    rest = list(graph.output)[1:]
    del graph.output[:]
    graph.output.extend([port, *rest])
    return out
