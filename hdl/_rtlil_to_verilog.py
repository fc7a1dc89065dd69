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
    run(f"write_verilog -norename {target}")


if __name__ == "__main__":
    convert(sys.argv[1], sys.argv[2])
