"""Generates design.h: what the native harness must know of one design, as C++ constants."""

from __future__ import annotations

import re

from codesign.builddir import BuildDir
from codesign.errors import ToolError, UsageError
from codesign.manifest import Manifest, Port, Tap
from codesign.sim.hierarchy import tap_member, tap_wires
from codesign.sim.packing import words_per_beat

_MEMBER = r"\*(\d+):0\*/ {}[;,{{=]"


def design_header(manifest: Manifest) -> str:
    """Text of design.h. Names were checked by ``hierarchy.check_names``."""
    alike = not manifest.frames_depend
    parts = [
        '#pragma once\n#include "verilated.h"\n#include "Vtop.h"\n#include "Vtop___024root.h"',
        "#include <cstdint>\n#include <string>\n#include <vector>\nnamespace design {",
        _event_stream("Input", manifest.input, -1, last=False)
        if manifest.input.events
        else _stream("Input", manifest.input, -1, last=False),
        _stream("Output", manifest.output, len(manifest.taps), last=False),
        *(
            _event_stream(f"Tap{k}", tap.port, k, last=True)
            if tap.port.events
            else _stream(f"Tap{k}", tap.port, k, last=True, ahead=tap.ahead, alike=alike)
            for k, tap in enumerate(manifest.taps)
        ),
        *(
            _stream(f"Log{k}", tap.port, len(manifest.taps) + 1 + k, last=True)
            for k, tap in enumerate(manifest.logs)
        ),
        f"constexpr bool kRegisters = {str(manifest.has_bus).lower()};",
        _files(manifest),
        _checks(manifest),
        "}  // namespace design\n",
    ]
    return "\n".join(parts)


def _stream(
    name: str, port: Port, tensor: int, *, last: bool, ahead: int = 0, alike: bool = True
) -> str:
    """Constants of one stream. ``last``: the bit above the data is the beat's last; ``ahead``:
    see :class:`~codesign.builddir.Tap`; ``alike``: so begun, all frames are the same."""
    if port.bits > 64:
        raise UsageError("codes wider than 64 bits", where=f"tensor '{port.tensor}'")
    return (
        f"struct {name} {{\n"
        f"    static constexpr int tensor = {tensor};\n    static constexpr bool events = false;\n"
        f"    static constexpr unsigned beats = {port.beats}, words = "
        f"{words_per_beat(port, int(last))}, lanes = {port.lanes}, bits = {port.bits}, "
        f"elements = {port.elements};\n"
        f"    static constexpr bool is_signed = {str(port.signed).lower()};\n"
        f"    static constexpr unsigned ahead = {ahead};\n"
        f"    static constexpr bool alike = {str(alike).lower()};\n}};"
    )


def _event_stream(name: str, port: Port, tensor: int, *, last: bool) -> str:
    """Constants of a stream of events; its vectors are codes, a word each (``Input``: beats)."""
    events = port.events
    assert events is not None
    return (
        f"struct {name} {{\n"
        f"    static constexpr int tensor = {tensor};\n    static constexpr bool events = true;\n"
        f"    static constexpr unsigned steps = {events.steps}, elements = {port.elements}, "
        f"address_bits = {port.address_bits}, count_bits = {events.count_bits()}, "
        f"words = {words_per_beat(port, int(last))};\n}};"
    )


def _files(manifest: Manifest) -> str:
    """The vector files: input, output, one per tap, and of any length one per log; and behind
    which of its beats a frame of the input ends."""
    streams = {f"tap{k}": tap.port for k, tap in enumerate(manifest.taps)}
    streams = {"output": manifest.output, **streams}
    sizes = {name: _size(name.capitalize(), port) for name, port in streams.items()}
    ends, names, end = "", ["input", *sizes], "(frame + 1) * uint64_t{Input::beats}"
    sizes = {"input": "frames * Input::beats * Input::words", **sizes}
    if manifest.input.events:
        ends, end = 'ends(folder + "/ends.bin", frames * 2), ', "beats_to(ends.words, frame)"
        names.insert(0, "ends")
        sizes["input"] = "beats_to(ends.words, frames - 1) * Input::words"
    opens = [f'{name}(folder + "/{name}.bin", {size})' for name, size in sizes.items()]
    logged = [f"log{k}" for k in range(len(manifest.logs))]
    opens += [f'{n}(F::entries(folder + "/{n}.bin", {n.capitalize()}::words))' for n in logged]
    return (
        "inline uint64_t beats_to(const uint32_t* ends, uint64_t frame) {\n"
        "    return ends[2 * frame] | static_cast<uint64_t>(ends[2 * frame + 1]) << 32;\n}\n"
        "template <class F> struct Files {\n"
        f"    F {', '.join([*names, *logged])};\n"
        "    Files(const std::string& folder, std::size_t frames)\n"
        f"        : {ends}{', '.join(opens)} {{}}\n"
        f"    uint64_t end(uint64_t frame) const {{ return {end}; }}\n}};"
    )


def _size(name: str, port: Port) -> str:
    """Words of a file of expected vectors."""
    return (
        f"frames * {name}::elements" if port.events else f"frames * {name}::beats * {name}::words"
    )


def _checks(manifest: Manifest) -> str:
    """The checkers of all streams, and the loop over the taps, unrolled."""
    taps, logs = range(len(manifest.taps)), range(len(manifest.logs))
    kinds = ["E<Tap{}>" if tap.port.events else "C<Tap{}, true>" for tap in manifest.taps]
    members = "".join(f"    {kind.format(k)} tap{k};\n" for k, kind in enumerate(kinds))
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
        "template <template <class, bool> class C, template <class> class E, class Findings>\n"
        "struct Checks {\n"
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
        bits = tap.port.payload_bits + 1
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
