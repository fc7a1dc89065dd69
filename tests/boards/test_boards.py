"""Boards are found by name and alias; an unknown one lists the others."""

import types

import pytest

from codesign import boards
from codesign.errors import UsageError
from codesign.manifest import BoardInfo
from codesign.schema import Cost


def test_alias_and_name_are_the_same_board():
    assert boards.get("ulx3s") == boards.get("ulx3s_85f")
    assert boards.names() == ["ulx3s_25f", "ulx3s_85f"]


@pytest.mark.parametrize("name", ["ulx3s_85f", "ulx3s_25f"])
def test_facts_are_plausible(name):
    board = boards.get(name)
    assert board.family == "ecp5" and board.package == "CABGA381" and board.speed == "6"
    assert min(board.capacity.model_dump().values()) > 0
    assert board.oscillator_mhz == 25.0 and board.clock_mhz == 100.0


def test_unknown_board_suggests_and_lists():
    with pytest.raises(UsageError, match="unknown board 'ulx3'") as caught:
        boards.get("ulx3")
    assert "did you mean 'ulx3s'" in caught.value.hint
    assert "ulx3s_25f" in caught.value.hint and caught.value.exit_code == 2


class Point:
    """An entry point that loads ``value``."""

    name, value = "mine", "pkg.mine"

    def __init__(self, result):
        self.result = result

    def load(self):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def mine() -> BoardInfo:
    facts = {"family": "ecp5", "device": "LFE5U-12F", "package": "x", "speed": "6"}
    return BoardInfo(name="mine", capacity=Cost(lut=1), clock_mhz=1.0, **facts)


@pytest.mark.parametrize("as_module", [False, True])
def test_third_parties_register_by_entry_point(monkeypatch, as_module):
    result = types.SimpleNamespace(BOARD=mine(), ALIASES=("m",)) if as_module else mine()
    monkeypatch.setattr(boards, "entry_points", lambda group: [Point(result)])
    assert boards.get("mine").device == "LFE5U-12F"
    assert not as_module or boards.get("m").name == "mine"


@pytest.mark.parametrize("broken", [ImportError("no such thing"), types.SimpleNamespace()])
def test_a_broken_entry_point_is_named(monkeypatch, broken):
    monkeypatch.setattr(boards, "entry_points", lambda group: [Point(broken)])
    with pytest.raises(UsageError, match=r"pkg\.mine"):
        boards.get("ulx3s")
