"""Generates design.h: what the native harness must know of one design, as C++ constants."""

from __future__ import annotations

import re

from codesign.builddir import BuildDir, Manifest, Port, Tap
from codesign.errors import ToolError, UsageError
from codesign.sim.hierarchy import tap_member, tap_wires
from codesign.sim.packing import words_per_beat

_MEMBER = r"\*(\d+):0\*/ {}[;,{{=]"


def design_header(manifest: Manifest) -> str:
    """Text of design.h. Names were checked by ``hierarchy.check_names``."""
    parts = [
        '#pragma once\n#include "verilated.h"\n#include "Vtop.h"\n#include "Vtop___024root.h"',
        "#include <cstdint>\n#include <string>\n#include <vector>\nnamespace design {",
        _stream("Input", manifest.input, -1, last=False),
        _stream("Output", manifest.output, len(manifest.taps), last=False),
        *(
            _stream(f"Tap{k}", tap.port, k, last=True, ahead=tap.ahead)
            for k, tap in enumerate(manifest.taps)
        ),
        *(
            _stream(f"Log{k}", tap.port, len(manifest.taps) + 1 + k, last=True)
            for k, tap in enumerate(manifest.logs)
        ),
        f"constexpr bool kRegisters = {str(manifest.has_bus).lower()};",
        _files(len(manifest.taps), len(manifest.logs)),
        _checks(manifest),
        "}  // namespace design\n",
    ]
    return "\n".join(parts)


def _stream(name: str, port: Port, tensor: int, *, last: bool, ahead: bool = False) -> str:
    """Constants of one stream. ``last``: the bit above the data is the beat's last; ``ahead``:
    see :class:`~codesign.builddir.Tap`."""
    if port.bits > 64:
        raise UsageError("codes wider than 64 bits", where=f"tensor '{port.tensor}'")
    return (
        f"struct {name} {{\n"
        f"    static constexpr int tensor = {tensor};\n"
        f"    static constexpr unsigned beats = {port.beats}, words = "
        f"{words_per_beat(port, int(last))}, lanes = {port.lanes}, bits = {port.bits}, "
        f"elements = {port.elements};\n"
        f"    static constexpr bool is_signed = {str(port.signed).lower()}, "
        f"ahead = {str(ahead).lower()};\n}};"
    )


def _files(taps: int, logs: int) -> str:
    """The vector files: input, output, one per tap, and of any length one per log."""
    names = ["input", "output", *(f"tap{k}" for k in range(taps))]
    opens = [
        f'{n}(folder + "/{n}.bin", frames * {n.capitalize()}::beats * {n.capitalize()}::words)'
        for n in names
    ]
    logged = [f"log{k}" for k in range(logs)]
    opens += [f'{n}(F::entries(folder + "/{n}.bin", {n.capitalize()}::words))' for n in logged]
    return (
        "template <class F> struct Files {\n"
        f"    F {', '.join([*names, *logged])};\n"
        "    Files(const std::string& folder, std::size_t frames)\n"
        f"        : {', '.join(opens)} {{}}\n}};"
    )


def _checks(manifest: Manifest) -> str:
    """The checkers of all streams, and the loop over the taps, unrolled."""
    taps, logs = range(len(manifest.taps)), range(len(manifest.logs))
    members = "".join(f"    C<Tap{k}, true> tap{k};\n" for k in taps)
    members += "".join(f"    C<Log{k}, true> log{k};\n" for k in logs)
    starts = "".join(f" tap{k}.start(files.tap{k}.words, begin, frames);" for k in taps)
    starts += "".join(
        f" log{k}.start(files.log{k}.words, 0, files.log{k}.count / Log{k}::words);" for k in logs
    )
    looks = "".join(_look(manifest.top, tap, f"tap{k}") for k, tap in enumerate(manifest.taps))
    looks += "".join(_look(manifest.top, tap, f"log{k}") for k, tap in enumerate(manifest.logs))
    ends = "".join(f" log{k}.finish(f);" for k in logs)
    records = "".join(f' tap{k}.record(folder + "/seen{k}.bin");' for k in taps)
    counts = ", ".join([*(f"tap{k}.frames_done()" for k in taps), "output.frames_done()"])
    return (
        "template <template <class, bool> class C, class Findings> struct Checks {\n"
        f"    C<Output, false> output;\n{members}"
        "    template <class F> void start(const F& files, uint64_t begin, uint64_t frames) {\n"
        f"        output.start(files.output.words, begin, frames);{starts}\n    }}\n"
        f"    void record(const std::string& folder) {{ (void)folder;{records} }}\n"
        f"    void finish_logs(Findings& f) const {{ (void)f;{ends} }}\n"
        "    template <class R> inline void observe_taps(R& r, Findings& f) {\n"
        f"        (void)r; (void)f;\n{looks}    }}\n"
        f"    std::vector<uint64_t> frames_done() const {{ return {{{counts}}}; }}\n}};"
    )


def _look(top: str, tap: Tap, name: str) -> str:
    """Observe ``tap``: a transfer is valid and, where the stream can wait, ready."""
    valid, ready, payload = (
        tap_member(top, tap, tap.wire(w)) for w in ("valid", "ready", "payload")
    )
    transfer = f"r.{valid} & r.{ready}" if tap.waits else f"r.{valid}"
    return f"        if ({transfer}) {name}.see(r.{payload}, f);\n"


def check_root(header: str, build: BuildDir) -> None:
    """Every tap is a member of the verilated root, and as wide as the manifest says."""
    manifest = build.manifest
    for tap in manifest.watched:
        bits = tap.port.lanes * tap.port.bits + 1
        need = {wire: bits if wire.endswith("payload") else 1 for wire in tap_wires(tap)}
        for wire, bits in need.items():
            where = ".".join([manifest.top, *tap.path, wire])
            found = re.search(
                _MEMBER.format(re.escape(tap_member(manifest.top, tap, wire))), header
            )
            if found is None:
                raise ToolError("Verilator did not keep this wire readable", where=where)
            if int(found[1]) + 1 != bits:
                raise UsageError(
                    f"the wire has {int(found[1]) + 1} bits, the manifest says {bits}",
                    where=where,
                    hint="generate it again",
                )
