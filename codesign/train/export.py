"""Brevitas module to QONNX, checked: the file must quantize the weights as the module does."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from codesign.errors import UnsupportedModel
from codesign.frontend.check import QUANT_OPS, check_model
from codesign.frontend.clean import clean
from codesign.frontend.context import Const, Context
from codesign.frontend.fold import try_fold
from codesign.frontend.load import load_model
from codesign.frontend.qonnx import import_node
from codesign.train.modes import evaluating
from codesign.train.needs import need

#: Newest ONNX file version that every onnxruntime we accept reads.
IR_VERSION = 10


def export_module(module: Any, example_input: Any, *, dynamo: bool = False) -> onnx.ModelProto:
    """Export a Brevitas module to QONNX.

    ``example_input``: a float32 array or tensor with a batch axis; only its first frame is used.
    ``dynamo``: use PyTorch's newer exporter instead of the TorchScript one.

    Brevitas loses the rounding of weight quantizers (everything but ROUND), so the exported
    weights are compared with the module's own, and replaced by pre-rounded ones where they
    differ. It writes every 1-bit activation quantizer as ``BipolarQuant``: any other is refused.
    """
    check_one_bit_activations(module)
    torch = need("torch")
    export_qonnx = need("brevitas.export").export_qonnx
    with evaluating(module):
        net = copy.deepcopy(module)
    frame = torch.as_tensor(np.asarray(example_input, dtype=np.float32))[:1]
    with tempfile.TemporaryDirectory(prefix="codesign-export-") as folder, quiet():
        path = Path(folder) / "model.onnx"
        names = {} if dynamo else {"input_names": ["x"], "output_names": ["y"]}
        with torch.no_grad():
            export_qonnx(net, frame, export_path=str(path), dynamo=dynamo, **names)
        model = load_model(path)
    model.ir_version = min(model.ir_version, IR_VERSION)
    model.producer_name = "codesign"
    restore_weights(net, model)
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporters print progress and deprecation notes nobody can act on."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def check_one_bit_activations(module: Any) -> None:
    """Refuse 1-bit activation quantizers whose codes are not -1 and +1 (``x < 0``, else)."""
    torch = need("torch")
    proxies = need("brevitas.proxy.runtime_quant").ActQuantProxyFromInjectorBase
    for path, proxy in module.named_modules():
        if not isinstance(proxy, proxies) or not getattr(proxy, "is_quant_enabled", False):
            continue
        bits = getattr(proxy, "bit_width", lambda: None)()
        if bits is None or int(bits) != 1:
            continue
        with torch.no_grad():
            scale = proxy.scale()
            steps = torch.tensor([-9.0, -0.6, -0.1, 0.0, 0.1, 0.6, 9.0])
            x = steps.reshape(-1, *[1] * max(0, scale.dim())) * scale
            found = proxy.fused_activation_quant_proxy.tensor_quant(x)[0]
        if not torch.equal(found, torch.where(x >= 0, scale, -scale).expand_as(found)):
            raise UnsupportedModel(
                "Brevitas exports this 1-bit quantizer as BipolarQuant, -1 and +1, which it is not",
                where=f"quantizer '{path}'",
                hint="use 2 bits, or a bipolar quantizer (SignedBinaryActPerTensorConst)",
            )


def quantized_weights(module: Any) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(module path, float weights, quantized weights) of each layer with a weight quantizer."""
    torch = need("torch")
    found = []
    for path, layer in module.named_modules():
        quantizer = getattr(layer, "weight_quant", None)
        if quantizer is None or not getattr(quantizer, "is_quant_enabled", False):
            continue
        with torch.no_grad():
            value = layer.quant_weight()
        value = getattr(value, "value", value)
        raw = layer.weight.detach().numpy()
        found.append((path, raw, value.detach().numpy().astype(np.float32)))
    return found


def restore_weights(module: Any, model: onnx.ModelProto) -> None:
    """Where the file would quantize a weight differently from PyTorch, write PyTorch's quantized
    value instead (quantizing that again changes nothing); refuse when even that differs."""
    wanted = quantized_weights(module)
    for path, raw, value in wanted:
        before = _exported(model, raw)
        if before is None:
            continue  # the exporter already wrote something else: checked by the golden vectors
        if np.array_equal(before[1], value):
            continue
        _replace(model, before[0], value)
        after = _exported(model, value)
        if after is None or not np.array_equal(after[1], value):
            raise UnsupportedModel(
                "its weight rounding cannot be expressed in QONNX",
                where=f"layer '{path}'",
                hint="use a weight quantizer that rounds to nearest (float_to_int_impl_type ROUND)",
            )


def _exported(model: onnx.ModelProto, raw: np.ndarray) -> tuple[str, np.ndarray] | None:
    """Name of the initializer that holds ``raw``, and its value after the file's quantizer."""
    check_model(model)
    cleaned = clean(model)
    ctx = Context(cleaned)
    for node in cleaned.graph.node:
        if try_fold(ctx, node) or node.op_type not in QUANT_OPS:
            continue
        const: Const | None = ctx.constant(node, 0)
        if const is None or const.array.shape != raw.shape or not np.array_equal(const.array, raw):
            continue
        import_node(ctx, node)
        return const.source, ctx.constants[node.output[0]].array
    return None


def _replace(model: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))
