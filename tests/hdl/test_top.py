"""The emitted Verilog: ports, names, attributes, and what yosys makes of the memories."""

import json
import subprocess
import sys
import time

import numpy as np

from codesign.hdl.chain import Chain
from codesign.hdl.matvec import MatVec
from codesign.hdl.requant import Requant, ShiftRound
from codesign.hdl.top import AxisTop, to_verilog


def network(n, k, pe, simd, **options):
    weights = np.random.default_rng(0).integers(-7, 8, (n, k))
    matvec = MatVec(weights, in_lo=0, in_hi=15, pe=pe, simd=simd, **options)
    real = ShiftRound(np.array([0]), 6, "half_even")
    requant = Requant(real, in_lo=matvec.acc_lo, in_hi=matvec.acc_hi, out_lo=0, out_hi=7,
                      channels=n, lanes=pe)  # fmt: skip
    return Chain({"fc1": Chain({"matvec": matvec, "requant": requant})})


def module(verilog, name):
    """Text of one module."""
    start = verilog.index(f"module {name}")
    return verilog[start : verilog.index("endmodule", start)]


def test_ports_and_names():
    text = to_verilog(AxisTop(network(4, 6, 3, 2)), "codesign_top")
    top = module(text, "codesign_top(")
    for name, width in {"s_axis_tdata": 8, "m_axis_tdata": 16}.items():
        assert f"[{width - 1}:0] {name};" in top
    for name in ("aclk", "aresetn", "s_axis_tlast", "m_axis_tlast", "s_axis_tready"):
        assert f" {name};" in top
    for instance in ("network", "network.fc1", "network.fc1.requant", "network.fc1.matvec"):
        ports = module(text, f"\\codesign_top.{instance} ").split(";")[0]
        for name in ("o__valid", "o__ready", "o__payload"):
            assert f"{name}," in ports.replace(")", ",") or f"{name} ," in ports


STAT = """
import json, sys
from pyosys import libyosys as ys
d = ys.Design()
for command in sys.argv[2:]:
    ys.run_pass("tee -q -o " + sys.argv[1] + " " + command, d)
"""


def cells(text, folder):
    """Cell counts of synth_ecp5."""
    (folder / "top.v").write_text(text)
    (folder / "run.py").write_text(STAT)
    commands = [f"read_verilog -sv {folder}/top.v", "synth_ecp5 -top codesign_top -noabc9"]
    log = str(folder / "log")
    subprocess.run(
        [sys.executable, str(folder / "run.py"), log, *commands, "stat -json"],
        check=True, capture_output=True,
    )  # fmt: skip
    return json.loads((folder / "log").read_text())["design"]["num_cells_by_type"]


def test_weight_memory_follows_its_attribute(tmp_path):
    sizes = (8, 80, 2, 2)
    block = to_verilog(AxisTop(network(*sizes, weight_memory="block")), "codesign_top")
    assert 'rom_style = "block"' in block
    got = cells(block, tmp_path)
    assert got.get("DP16KD", 0) == 1
    assert got.get("MULT18X18D", 0) == 0
    logic = to_verilog(AxisTop(network(*sizes, weight_memory="lut")), "codesign_top")
    assert cells(logic, tmp_path).get("DP16KD", 0) == 0


def test_dsp_multipliers(tmp_path):
    text = to_verilog(AxisTop(network(4, 8, 2, 4, multiplier="dsp")), "codesign_top")
    assert cells(text, tmp_path)["MULT18X18D"] == 8


def test_writing_a_large_layer_is_quick():
    begin = time.process_time()
    text = to_verilog(AxisTop(network(256, 784, 8, 16)), "codesign_top")
    assert time.process_time() - begin < 15
    assert len(text) > 100_000
