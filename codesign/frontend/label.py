"""What to call a layer: after its module path when the exporter tells, else after its kind."""

from __future__ import annotations

import re

from onnx import NodeProto

from codesign.frontend.names import safe, segments, tidy

_SCOPES = "pkg.torch.onnx.name_scopes"
#: Appended to the module path, because one module can yield several steps.
_SUFFIX = {"quant": "quant", "relu": "relu", "argmax": "argmax", "reshape": "reshape"}
_ROLES = {"weight", "kernel", "bias"}


def module_path(node: NodeProto) -> list[str]:
    """Module path from the dynamo exporter's metadata or the TorchScript exporter's node name."""
    for entry in node.metadata_props:
        if entry.key == _SCOPES and len(entry.value) < 10_000:
            scopes = re.findall(r"'([^']*)'", entry.value)
            return segments(scopes[-2]) if len(scopes) > 1 else []
    return segments(node.name)[:-1] if "/" in node.name else []


def layer(node: NodeProto, weight: str) -> str:
    """Name of a layer with weights: ``layers.0.weight`` gives ``layers_0``; "" if unknown."""
    parts = re.split(r"[./]+", weight)
    if len(parts) > 1 and parts[-1] in _ROLES:
        return safe("_".join(parts[:-1]))
    path = module_path(node)
    return safe("_".join(path)) if path else ""


def step(node: NodeProto, kind: str) -> str:
    """Name of any other step: ``/act/act_quant/export_handler/Quant`` gives ``act_quant``."""
    path = module_path(node)
    if not path:
        return tidy(node.name) if node.name else kind
    suffix = _SUFFIX.get(kind, "" if kind == "batchnorm" else kind)
    return safe("_".join([*path, suffix] if suffix and path[-1] != suffix else path))
