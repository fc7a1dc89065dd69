"""What to call a layer: after its module path when the exporter tells, else after its kind."""

from __future__ import annotations

import re

from onnx import NodeProto

from codesign.frontend.names import safe, segments, tidy

#: Metadata of the dynamo exporter: ``['', 'head', 'linear']``, the modules around a function.
_SCOPES = "pkg.torch.onnx.name_scopes"
#: The same with classes, all that some versions write: ``: Net/head: Linear/linear: aten.linear``.
_NAMESPACE = "namespace"
#: Appended to the module path, because one module can yield several steps.
_SUFFIX = {"quant": "quant", "relu": "relu", "argmax": "argmax", "reshape": "reshape"}
_ROLES = {"weight", "kernel", "bias"}
_MOST = 10_000  # characters of metadata that are looked at


def _scopes(node: NodeProto) -> list[str]:
    """What the dynamo exporter's metadata says: the path of each module around the function that
    ``node`` is part of, outermost first, then the function; [] from other exporters."""
    found = {entry.key: entry.value for entry in node.metadata_props if len(entry.value) < _MOST}
    if _SCOPES in found:
        return re.findall(r"'([^']*)'", found[_SCOPES])
    return [part.split(":")[0].strip() for part in found.get(_NAMESPACE, "").split("/") if part]


def module_path(node: NodeProto) -> list[str]:
    """Module path from the dynamo exporter's metadata or the TorchScript exporter's node name."""
    scopes = _scopes(node)
    if scopes:
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
        name = node.name.removeprefix("node_") if _scopes(node) else node.name
        return tidy(name) if name else kind
    suffix = _SUFFIX.get(kind, "" if kind == "batchnorm" else kind)
    return safe("_".join([*path, suffix] if suffix and path[-1] != suffix else path))


def value(node: NodeProto, tensor: str, name: str) -> str:
    """Name of what the step ``name`` yields: after the ``tensor`` of the file, which the dynamo
    exporter only numbers (``_symbolic_5``)."""
    return name if _scopes(node) else tidy(tensor)
