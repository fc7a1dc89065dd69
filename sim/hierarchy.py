"""Names in the emitted Verilog: which module each tapped instance is, and checked identifiers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from codesign.builddir import BuildDir
from codesign.errors import UsageError
from codesign.manifest import Manifest, Tap

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,255}\Z")
TOP_INPUTS = (
    "aclk",
    "aresetn",
    "s_axis_tdata",
    "s_axis_tvalid",
    "s_axis_tlast",
    "m_axis_tready",
)
AXIL_INPUTS = (
    "awaddr",
    "awprot",
    "awvalid",
    "wdata",
    "wstrb",
    "wvalid",
    "bready",
    "araddr",
    "arprot",
    "arvalid",
    "rready",
)
AXIL_OUTPUTS = ("awready", "wready", "bresp", "bvalid", "arready", "rdata", "rresp", "rvalid")
TOP_OUTPUTS = ("s_axis_tready", "m_axis_tdata", "m_axis_tvalid", "m_axis_tlast")

_NAME = r"(?:\\(\S+)\s|([A-Za-z_][\w$]*))"
_MODULE = re.compile(rf"^\s*module\s+{_NAME}(.*?)\bendmodule\b", re.S | re.M)
_INSTANCE = re.compile(rf"^\s*{_NAME}\s*(?:#\s*\([^;]*?\)\s*)?{_NAME}\s*\(", re.M)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|\(\*.*?\*\)", re.S)


def checked_identifier(name: str, where: str) -> str:
    """``name`` when it is a plain Verilog identifier; else ``UsageError``."""
    if not IDENTIFIER.match(name):
        raise UsageError(
            f"{name!r} is not a plain Verilog identifier", where=where, hint="generate it again"
        )
    return name


def tap_wires(tap: Tap) -> list[str]:
    """The wires that show a transfer and its data."""
    members = ("valid", "ready", "payload") if tap.waits else ("valid", "payload")
    return [tap.wire(member) for member in members]


def check_names(manifest: Manifest) -> None:
    """Refuse names that must not reach generated C++ or a control file."""
    checked_identifier(manifest.top, "manifest.json: top")
    for k, tap in enumerate(manifest.watched):
        if not tap.path:
            raise UsageError("an empty instance path", where=f"manifest.json: taps[{k}]")
        checked_identifier(tap.stream, f"manifest.json: taps[{k}].stream")
        for part in tap.path:
            checked_identifier(part, f"manifest.json: taps[{k}].path")


def modules(files: Iterable[Path]) -> dict[str, dict[str, str]]:
    """Module name → {instance name: module name} of all modules in ``files``."""
    bodies: dict[str, str] = {}
    for path in files:
        text = _COMMENT.sub(" ", path.read_text())
        for found in _MODULE.finditer(text):
            bodies[found[1] or found[2]] = found[3]
    tree: dict[str, dict[str, str]] = {}
    for name, body in bodies.items():
        tree[name] = {
            found[3] or found[4]: found[1] or found[2]
            for found in _INSTANCE.finditer(body)
            if (found[1] or found[2]) in bodies
        }
    return tree


def module_of(tree: dict[str, dict[str, str]], top: str, path: Sequence[str]) -> str:
    """Module of the instance ``path`` below ``top``; ``UsageError`` naming the missing part."""
    if top not in tree:
        raise UsageError(f"module '{top}' is not in the Verilog", where="manifest.json: top")
    current = top
    for depth, part in enumerate(path):
        if part not in tree[current]:
            raise UsageError(
                f"module '{current}' has no instance '{part}'",
                where="manifest.json: tap " + ".".join(path[: depth + 1]),
                hint=f"instances there: {', '.join(sorted(tree[current])) or 'none'}",
            )
        current = tree[current][part]
    return current


def control_file(build: BuildDir, *, writable: bool) -> str:
    """A Verilator ``.vlt`` that makes just the taps (and with ``writable`` the ports) public.

    ``UsageError`` when a tap of the manifest is not in the Verilog.
    """
    manifest = build.manifest
    check_names(manifest)
    tree = modules(build.rtl_files())
    lines = ["`verilator_config"]
    if writable:
        inputs, outputs = list(TOP_INPUTS), list(TOP_OUTPUTS)
        if manifest.has_bus:
            inputs += [f"s_axil_{name}" for name in AXIL_INPUTS]
            outputs += [f"s_axil_{name}" for name in AXIL_OUTPUTS]
        lines += [f'public_flat_rw -module "{manifest.top}" -var "{v}"' for v in inputs]
        lines += [f'public_flat_rd -module "{manifest.top}" -var "{v}"' for v in outputs]
    public: list[str] = []
    for tap in manifest.watched:
        module = module_of(tree, manifest.top, tap.path)
        if '"' in module or "\\" in module:
            raise UsageError(f"module name {module!r} cannot be used", where=str(build.root))
        public += [f'public_flat_rd -module "{module}" -var "{v}"' for v in tap_wires(tap)]
    return "\n".join([*lines, *dict.fromkeys(public)]) + "\n"


def mangled(name: str) -> str:
    """``name`` as Verilator writes it in C++ (AstNode::encodeName)."""
    out, k = "", 0
    while k < len(name):
        char = name[k]
        if char == "_" and name[k : k + 2] == "__":
            out, k = out + "___05F", k + 2
        elif char.isascii() and (char.isalpha() or char == "_" or (k > 0 and char.isdigit())):
            out, k = out + char, k + 1
        else:
            out, k = out + f"__0{ord(char):02X}", k + 1
    return out


def tap_member(top: str, tap: Tap, wire: str) -> str:
    """C++ member of the flattened root that holds ``wire`` of a tap."""
    return "__DOT__".join(mangled(p) for p in [top, *tap.path, wire])
