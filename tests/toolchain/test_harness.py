"""The harness: every wire gets a driver and a reader, and its cost is what it says."""

import copy

import pytest

from codesign.errors import ToolError
from codesign.schema import Cost
from codesign.toolchain.harness import PREFIX, wrap

MODULE = {
    "ports": {
        "aclk": {"direction": "input", "bits": [2]},
        "d": {"direction": "input", "bits": [3, 4]},
        "q": {"direction": "output", "bits": [5, "0", 5]},
    },
    "cells": {"f": {"connections": {"CLK": [2], "DI": [3], "Q": [5]}}},
    "netnames": {"unused": {"bits": [9]}},
}


def test_inputs_are_driven_and_outputs_read():
    netlist = {"modules": {"top": copy.deepcopy(MODULE)}}
    added = wrap(netlist, "top")
    assert added == Cost(lut=1, ff=2 + 1)  # a constant and a repeated wire cost nothing
    module = netlist["modules"]["top"]
    assert set(module["ports"]) == {"aclk", f"{PREFIX}_si", f"{PREFIX}_so"}
    cells = [c for name, c in module["cells"].items() if name.startswith(PREFIX)]
    driven = [c["connections"][p][0] for c in cells for p in ("Q", "Z") if p in c["connections"]]
    assert len(set(driven)) == len(driven) and {3, 4} <= set(driven)
    assert min(set(driven) - {3, 4}) > 9  # fresh wires
    assert [c for c in cells if c["type"] == "LUT4"][0]["connections"]["B"] == [5]


def test_a_top_without_its_clock_is_refused():
    with pytest.raises(ToolError, match="no clock port 'clk'"):
        wrap({"modules": {"top": copy.deepcopy(MODULE)}}, "top", "clk")
