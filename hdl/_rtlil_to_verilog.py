"""``python -m codesign.hdl._rtlil_to_verilog IN.il OUT.v``: RTLIL to readable Verilog."""

import sys

from pyosys import libyosys as yosys

#: Attributes of Amaranth's own that would only clutter the output.
INTERNAL = ("generator", "src", "top", "amaranth.hierarchy", "amaranth.decoding", "init")


def convert(source: str, target: str) -> None:
    """Write the design in file ``source`` as Verilog to file ``target``."""
    design = yosys.Design()

    def run(command: str) -> None:
        yosys.run_pass(command, design)

    run(f"read_rtlil {source}")
    run("proc -nomux -norom")
    run("memory_collect")
    removed = " ".join(f"-remove {name}" for name in INTERNAL if name != "init")
    run(f"attrmap {removed}")
    run(f"attrmap -modattr {removed}")
    for module in list(design.modules_.values()):
        name_instance_wires(design, module)
        drop_field_views(module)
    run("opt_clean")
    run(f"write_verilog -norename {target}")


def drop_field_views(module: yosys.Module) -> None:
    """Remove wires like ``o__payload.data[3]``, which Amaranth adds to be seen in waveforms.

    Nothing reads them; here they are twenty lines for each stream.
    """
    kept, views = [], set()
    for target, source in module.connections():
        wire = target.as_wire() if target.is_wire() else None
        if wire is not None and "." in wire.name.str() and not wire.port_id:
            views.add(wire)
        else:
            kept.append((target, source))
    if views:
        module.new_connections(kept)
        module.remove(views)


def name_instance_wires(design: yosys.Design, module: yosys.Module) -> None:
    """Call the wire at port ``p`` of instance ``u`` ``u__p``, not ``p$27``.

    Amaranth names a wire after the port it belongs to and numbers the second one of that name.
    """
    for cell in list(module.cells_.values()):
        if design.module(cell.type) is None:
            continue
        for port, signal in dict(cell.connections_).items():
            if not signal.is_wire():
                continue
            wire = signal.as_wire()
            name = yosys.IdString(f"{cell.name.str()}__{port.str()[1:]}")
            if not (wire.port_input or wire.port_output) and module.wire(name) is None:
                module.rename(wire, name)


if __name__ == "__main__":
    convert(sys.argv[1], sys.argv[2])
