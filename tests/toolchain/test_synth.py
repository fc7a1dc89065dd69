"""Synthesis of a design small enough to run in seconds: counts, cache, budget, Fmax."""

import json

import pytest

from codesign import boards
from codesign.builddir import BuildDir
from codesign.errors import OverBudget, ToolError
from codesign.manifest import Layer, Manifest, Port
from codesign.schema import Cost
from codesign.toolchain import cache, discover, nextpnr
from codesign.toolchain.synth import check_budget, synthesise
from codesign.toolchain.yosys import module_cost, prune_carry_outs, synthesise_netlist

RTL = r"""
module \codesign_top.network.a (input clk, input [7:0] i, output reg [7:0] o);
  always @(posedge clk) o <= i + 8'd77;
endmodule
module \odd"; name* (input clk, input [7:0] i, output reg o);
  always @(posedge clk) o <= ^i;
endmodule
module codesign_top (input aclk, input aresetn, input [7:0] s_axis_tdata, output m_axis_tdata);
  reg [7:0] x; wire [7:0] y;
  always @(posedge aclk) x <= aresetn ? s_axis_tdata : 8'd0;
  \codesign_top.network.a a (.clk(aclk), .i(x), .o(y));
  \odd";  name* b (.clk(aclk), .i(y), .o(m_axis_tdata));
endmodule
""".replace(r'\odd"; name*', r'\odd";name*').replace(r'\odd";  name*', r'\odd";name*')
MODULES = {"first": "codesign_top.network.a", "second": 'odd";name*'}
BOARD = boards.get("ulx3s_25f")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CODESIGN_CACHE", str(tmp_path / "cache"))


def make(tmp_path, modules=MODULES) -> BuildDir:
    port = Port(tensor="x", elements=1, lanes=1, bits=8, signed=False, lo=0, hi=255, data_bits=8)
    rows = [
        Layer(
            name=name,
            op="matvec",
            style="folded",
            module=module,
            in_label="",
            out_label="",
            ii=1,
            latency=1,
        )
        for name, module in modules.items()
    ]
    manifest = Manifest(
        name="tiny",
        rtl=["top.v"],
        input=port,
        output=port,
        taps=[],
        layers=rows,
        edges=[],
        latency=3,
        ii=1,
        board=BOARD,
        target="",
        model_sha256="",
        versions={},
    )
    build = BuildDir(tmp_path / "a folder; with 'odd' name")
    (build.root / "rtl").mkdir(parents=True)
    (build.root / "rtl" / "top.v").write_text(RTL)
    build.write("manifest.json", manifest)
    return build


def test_counts_by_layer_and_cache(tmp_path):
    build = make(tmp_path)
    report = synthesise(build, board=BOARD, place_and_route=False)
    first = report.per_layer["first"]
    assert first.ff == 8 and 8 <= first.lut <= 9  # four carry cells, perhaps an inverter
    assert report.per_layer["second"] == Cost(lut=report.per_layer["second"].lut, ff=1)
    assert 3 <= report.per_layer["second"].lut <= 4  # 8-input parity
    assert report.total.ff == 8 + 8 + 1
    assert report.fmax_mhz is None and report.placed is None and not report.cached
    again = synthesise(build, board=BOARD, place_and_route=False)
    assert again.cached and again.per_layer == report.per_layer
    fresh = synthesise(build, board=BOARD, place_and_route=False, use_cache=False)
    assert not fresh.cached and fresh.total == report.total


def test_place_and_route_keeps_everything(tmp_path):
    build, said = make(tmp_path), []
    report = synthesise(build, board=BOARD, progress=said.append)
    assert report.placed is not None and report.placed.ff == report.total.ff
    assert report.placed.lut >= report.total.lut
    assert report.fmax_mhz is not None and 50 < report.fmax_mhz < 700
    path = report.critical_path
    assert path is not None and path.delay_ns == pytest.approx(1000 / report.fmax_mhz, rel=0.01)
    assert path.hops and "ns" in path.hops[0] and "TRELLIS" not in path.start
    assert "yosys: synthesis" in said
    assert synthesise(build, board=BOARD).cached
    assert not synthesise(build, board=BOARD, seed=2).cached


def test_a_module_the_rtl_lacks_is_named(tmp_path):
    with pytest.raises(ToolError, match="no module 'gone'"):
        synthesise(make(tmp_path, {"x": "gone"}), board=BOARD, place_and_route=False)


def test_wrong_rtl_reports_what_yosys_said():
    with pytest.raises(ToolError, match=r"yosys failed: .*syntax error"):
        synthesise_netlist("module top(; endmodule", top="top", keep=[], family="ecp5")


def test_a_time_limit_ends_the_tool():
    with pytest.raises(ToolError, match="did not finish within"):
        synthesise_netlist(RTL, top="codesign_top", keep=[], family="ecp5", timeout_s=0.01)


def test_budget_names_each_excess():
    check_budget(BOARD.capacity, BOARD)
    with pytest.raises(OverBudget, match="48,576 LUTs of 24,288") as caught:
        check_budget(Cost(lut=2 * 24288, dsp=29), BOARD)
    assert "100 % too many" in str(caught.value) and "29 multipliers of 28" in str(caught.value)
    assert caught.value.exit_code == 5


def test_capacity_is_what_nextpnr_says():
    """The board files against the numbers printed for an LFE5U-25F."""
    report = {
        "utilization": {
            "TRELLIS_COMB": {"available": 24288, "used": 1},
            "TRELLIS_FF": {"available": 24288, "used": 2},
            "TRELLIS_RAMW": {"available": 3036, "used": 3},
            "MULT18X18D": {"available": 28, "used": 4},
            "DP16KD": {"available": 56, "used": 5},
        },
        "fmax": {"aclk": {"achieved": 123.456}},
        "critical_paths": [],
    }
    placed = nextpnr.parse_report(report)
    assert placed.available == BOARD.capacity
    assert placed.used == Cost(lut=7, ff=2, dsp=4, bram=5)
    assert placed.fmax_mhz == 123.46
    assert nextpnr.Placed.from_json(json.loads(json.dumps(placed.as_json()))) == placed


def test_unknown_cells_are_never_free():
    modules = {"top": {"attributes": {}, "cells": {"x": {"type": "EHXPLLL"}}}}
    with pytest.raises(ToolError, match="'EHXPLLL' is unknown"):
        module_cost(modules, "top")


def test_only_unread_carry_outs_are_disconnected():
    def carry(cin, cout):
        return {
            "type": "CCU2C",
            "port_directions": {"CIN": "input", "COUT": "output"},
            "connections": {"CIN": [cin], "COUT": [cout]},
        }

    cells = {"a": carry("0", 2), "b": carry(2, 3), "c": carry("0", 4)}
    top = {"ports": {"o": {"direction": "output", "bits": [4]}}, "cells": cells}
    pruned = json.loads(prune_carry_outs(json.dumps({"modules": {"top": top}})))
    outs = {n: c["connections"]["COUT"] for n, c in pruned["modules"]["top"]["cells"].items()}
    assert outs == {"a": [2], "b": ["x"], "c": [4]}


def test_distributed_ram_and_carry_count():
    kinds = ["LUT4", "CCU2C", "TRELLIS_DPR16X4", "PFUMX", "MULT18X18D", "DP16KD", "TRELLIS_FF"]
    cells = {str(i): {"type": kind} for i, kind in enumerate(kinds)}
    modules = {"top": {"attributes": {}, "cells": cells}}
    assert module_cost(modules, "top") == Cost(lut=1 + 2 + 6, ff=1, dsp=1, bram=1)


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("fc1.acc_TRELLIS_FF_Q_12", "fc1.acc"),
        ("fc1.acc_TRELLIS_FF_Q_DI_LUT4_Z_C_CCU2C_S1_CIN", "fc1.acc"),
        ("fc1.acc_CCU2C_S0$CCU2_COMB0", "fc1.acc"),
        ("a.LUT4_count", "a.LUT4_count"),
    ],
)
def test_names_are_readable(cell, name):
    assert nextpnr.readable(cell) == name


def test_missing_and_old_tools_say_how_to_install(monkeypatch):
    with pytest.raises(discover.ToolchainNotFound) as caught:
        discover.find(discover.Wanted("no-such-tool-at-all", (1, 2), "testing"))
    assert caught.value.exit_code == 3
    assert caught.value.hint == "pip install 'no-such-tool-at-all>=1.2'"
    with pytest.raises(discover.ToolOutOfDate, match="too old"):
        discover.find(discover.Wanted("pyosys", (99,), "testing"))
    with pytest.raises(discover.ToolchainNotFound, match="no open place and route"):
        discover.find_nextpnr("virtex")


def test_cache_survives_damage_and_bad_folders(tmp_path, monkeypatch):
    key = cache.digest("a", 1)
    cache.store("kind", key, {"x": 1})
    assert cache.load("kind", key) == {"x": 1}
    entry = next(cache.root().rglob("*.gz"))
    entry.write_bytes(entry.read_bytes()[:-4])
    assert cache.load("kind", key) is None
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CODESIGN_CACHE", str(tmp_path / "file"))
    cache.store("kind", key, 1)
    assert cache.load("kind", key) is None
