"""Names: Verilator's mangling, instances in yosys' Verilog, and the control file."""

from __future__ import annotations

from pathlib import Path

import pytest

from codesign.errors import UsageError
from codesign.sim import hierarchy

YOSYS = r"""
/* module not_this (a); */
(* top =  1  *)
module codesign_top(aclk, s_axis_tdata);
  wire x; // fc9 fc9 (
  (* src = "x" *)
  \codesign_top.network  network (
    .clk(aclk)
  );
  assign x = (aclk);
endmodule

module \codesign_top.network (clk);
  \codesign_top.network.fc1  fc1 (
    .clk(clk)
  );
  \codesign_top.network.fc1  \layer.2  (
    .clk(clk)
  );
  leaf #(.N(3)) other (.clk(clk));
endmodule

module \codesign_top.network.fc1 (clk); endmodule
module leaf(clk); parameter N = 1; endmodule
"""


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, dict[str, str]]:
    (tmp_path / "a.v").write_text(YOSYS.replace("(clk); endmodule", "(clk);\nendmodule"))
    return hierarchy.modules([tmp_path / "a.v"])


def test_instances_are_found(tree) -> None:
    assert tree["codesign_top"] == {"network": "codesign_top.network"}
    assert tree["codesign_top.network"] == {
        "fc1": "codesign_top.network.fc1",
        "layer.2": "codesign_top.network.fc1",
        "other": "leaf",
    }
    path = ["network", "fc1"]
    assert hierarchy.module_of(tree, "codesign_top", path) == "codesign_top.network.fc1"


def test_missing_instances_name_what_is_there(tree) -> None:
    with pytest.raises(UsageError, match=r"network\.fc2: .* has no instance 'fc2'(.|\n)*fc1"):
        hierarchy.module_of(tree, "codesign_top", ["network", "fc2"])
    with pytest.raises(UsageError, match="module 'nope' is not in the Verilog"):
        hierarchy.module_of(tree, "nope", [])


@pytest.mark.parametrize(
    ("name", "mangled"),
    [
        ("o__valid", "o___05Fvalid"),
        ("a_b", "a_b"),
        ("_x", "_x"),
        ("a___b", "a___05F_b"),
        ("a$1", "a__0241"),
        ("9a", "__039a"),
    ],
)
def test_mangling(name: str, mangled: str) -> None:
    assert hierarchy.mangled(name) == mangled


@pytest.mark.parametrize("name", ["", "a b", "a;", 'a"', "1a", "a\n", "a-b", "é", "a" * 300])
def test_only_plain_identifiers_pass(name: str) -> None:
    with pytest.raises(UsageError, match="not a plain Verilog identifier"):
        hierarchy.checked_identifier(name, "here")


def test_control_file_opens_just_the_taps(unrolled) -> None:
    text = hierarchy.control_file(unrolled.build, writable=False)
    assert text.count("public_flat_rd") == 6 and "rw" not in text
    assert 'public_flat_rd -module "fc2" -var "o__payload"' in text
    text = hierarchy.control_file(unrolled.build, writable=True)
    assert text.count("public_flat_rw") == 6 and text.count("public_flat_rd") == 10
