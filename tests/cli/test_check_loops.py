"""``codesign check`` of spiking and recurrent networks: what is inside of a Scan is shown."""

from __future__ import annotations

import io
import json
from typing import Any

import onnx
import pytest
from onnx import ModelProto
from pydantic import BaseModel, ConfigDict
from rich.console import Console

from codesign import exchange
from codesign.api import Check, check
from codesign.cli.check import as_json, tensor_table, verdict
from codesign.cli.check_loops import inside
from codesign.frontend.nir import import_nir
from codesign.frontend.scan.body import body_of
from codesign.spikes import coders
from tests import recurrent_models
from tests.frontend.nir_models import policy
from tests.frontend.test_recurrent_delays import Back, Recurrent
from tests.models import Mlp, mlp
from tests.spiking.networks import (
    Network,
    dense_network,
    encoded_network,
    finished,
    lif,
    recurrent_network,
    smoothed_network,
)
from tests.spiking.test_decoders import SECOND


def data(found: Check) -> dict[str, Any]:
    """What ``--json`` prints, read again."""
    return json.loads(json.dumps(as_json(found)))  # and not default=str: it is plain data


def text(found: Check) -> str:
    """What the terminal shows."""
    out = Console(file=io.StringIO(), width=400, highlight=False)
    for part in (tensor_table(found), *inside(found.survey), *verdict(found)):
        out.print(part)
    return out.file.getvalue()  # type: ignore[attr-defined]


def scan_body(model: ModelProto) -> onnx.GraphProto:
    (body,) = [b for b in map(body_of, model.graph.node) if b is not None]
    return body


@pytest.fixture(scope="module")
def recurrent() -> Check:
    return check(recurrent_network())


def test_every_tensor_inside_has_its_format(recurrent: Check) -> None:
    rows = {row["tensor"]: row for row in data(recurrent)["tensors"]}
    body = scan_body(recurrent_network())
    written = {name for node in body.node for name in node.output}
    assert written | {"seen_step", "x_step"} <= set(rows)
    label = "node 'steps' (Scan)"
    assert {t for t, row in rows.items() if "scan" not in row} == {"x", "lif", "lif_count"}
    assert {row["scan"] for row in rows.values() if "scan" in row} == {label}
    assert rows["again_wq"]["status"] == "constant" and rows["again_wq"]["codes"] == [-8, 5]
    assert rows["fc_wq"]["format"] == "int4, x 0.0625" and rows["fc_wq"]["shape"] == [3, 4]
    assert rows["total"]["format"] == "int8 x 2^-6" and rows["total"]["shape"] == [4]
    assert rows["lif_step"]["codes"] == [0, 1] and rows["lif"]["shape"] == [6, 4]
    state = rows["lif.v_next_step"]
    assert (state["status"], state["format"]) == ("state", "int12 x 2^-6")
    assert state["codes"] == [-2048, 2047] and state["values"] == [-32.0, 31.984375]
    assert rows["seen_step"]["status"] == "state" and rows["seen_step"]["codes"] == [0, 1]


def test_neurons_recurrences_and_time(recurrent: Check) -> None:
    found = data(recurrent)
    (loop,) = found["loops"]
    assert (loop["steps"], loop["goes_on"], loop["complete"]) == (6, False, True)
    (lif,) = loop["neurons"]
    assert (lif["layer"], lif["kind"], lif["preset"]) == ("lif", "LIF", "snntorch_default")
    assert lif["fed_by"] == ["x_step", "seen_step"] and lif["shape"] == [4]
    assert lif["attributes"]["compare"] == "gt" and lif["attributes"]["reset_timing"] == "next"
    assert lif["states"] == [
        {"name": "v", "tensor": "lif.v_next_step", "format": "int12 x 2^-6",
         "overflow": "sat_step", "codes": [-2048, 2047], "values": [-32.0, 31.984375],
         "starts": "0"}
    ]  # fmt: skip
    theta = next(p for p in lif["parameters"] if p["name"] == "theta")
    assert theta == {"name": "theta", "count": 1, "codes": [64, 64], "values": [1.0, 1.0]}
    (back,) = loop["carried"]
    assert (back["tensor"], back["source"], back["steps"]) == ("seen_step", "lif_step", 1)
    assert (back["written_by"], back["through"], back["read_by"]) == (["lif"], ["again"], ["lif"])
    assert back["recurrent"] is True and back["format"] == "uint1"
    assert found["time"] == {
        "steps": 6, "dt": 0.001, "encoding": "direct", "readout": "count",
        "reset_at_window": True, "encoder": "", "decoder": "",
    }  # fmt: skip


def test_the_terminal_has_a_line_for_each(recurrent: Check) -> None:
    shown = text(recurrent)
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert any(line.startswith("node 'steps' (Scan) 6 steps") for line in lines)
    assert "again_wq Quant 4 x 4 int4, x 0.01562 -8..5 -0.125..0.07812 constant" in lines
    assert (
        "lif 4 LIF (snntorch_default) leak 0.90625 v (mul_floor, 6 bits); threshold v > 1 (gt); "
        "reset subtracts the threshold, in the next step (next), after the leak; refractory none; "
        "puts out spikes; states v int12 x 2^-6 sat_step; fed by x_step, seen_step"
    ) in lines
    assert "seen_step 4 uint1 lif -> lif, 1 step later, through again: recurrent" in lines
    assert "window 6 steps 0.001 s each; states start anew" in lines
    assert "encoding direct before the model" in lines and "readout count" in lines
    assert "supported: 6 layers of hardware" in lines


def test_the_one_step_form_is_shown_as_its_scan() -> None:
    scan = dense_network(metadata={"reset_at_window": False})
    step = check(exchange.to_step(scan))
    assert data(step) == data(check(scan))
    assert [n["fed_by"] for n in data(step)["loops"][0]["neurons"]] == [["x_step"], ["lif0"]]
    assert data(step)["loops"][0]["goes_on"] is True
    assert "states go on where the last one ended" in text(step)
    rows = {row["tensor"]: row for row in data(step)["tensors"]}
    assert rows["bias0"]["format"] == "float32 on 2^-6"  # whole steps of the neurons' input


def test_delays_are_one_line_however_long() -> None:
    net = Recurrent(steps=9, layers=(2, 2), back=(Back(1, 0, (3, 3)),))
    made = import_nir(net.graph(), policy()).scan
    found = check(made)
    (late,) = data(found)["loops"][0]["carried"]
    assert (late["written_by"], late["read_by"]) == (["lif1"], ["lif0"])
    assert late["recurrent"] is True and late["steps"] == 3
    stages = [t["tensor"] for t in data(found)["tensors"] if t["status"] == "state"]
    assert sum("wait0" in name for name in stages) == 3
    shown = text(found)
    assert "lif1 -> lif0, 3 steps later" in shown
    # a row of what comes out, a line for the delay, and the neurons that it feeds
    assert sum("wait0" in line for line in shown.splitlines()) == 3


def test_recurrent_networks_without_neurons() -> None:
    found = check(recurrent_models.model(recurrent_models.Recurrent("gru")))
    (loop,) = data(found)["loops"]
    assert loop["neurons"] == [] and "time" not in data(found)
    (h,) = loop["carried"]
    assert (h["source"], h["steps"], h["recurrent"]) == ("h_new", 1, True)
    assert "r_h_mm" in h["through"] and h["format"] == "int5 x 2^-4"
    rows = {row["tensor"]: row for row in data(found)["tensors"]}
    assert rows["z_x_w"]["status"] == "constant" and rows["z_q" if "z_q" in rows else "z"]["codes"]
    assert "h_new -> r_h_mm" in text(found) and "states start anew each frame" in text(found)


def test_encoders_and_decoders_of_the_circuit() -> None:
    rate = coders.Rate(steps=4, bits=4, frac=4, seed=3)
    shown = text(check(encoded_network(rate)))
    assert "RateEncoder" in shown and "by RateEncoder in the circuit" in shown
    found = check(smoothed_network(SECOND, theta=[12]))
    assert data(found)["time"]["decoder"] == "BesselDecoder"
    assert data(found)["time"]["readout"] == "bessel_last"


def test_what_blocks_inside_is_named_and_the_problem_stays_that_of_the_scan() -> None:
    model = recurrent_network()
    body = scan_body(model)
    next(n for n in body.node if n.name == "total").op_type = "Bogus"
    found = check(model)
    assert [b.where for b in found.blockers] == ["node 'steps' (Scan)"]
    rows = {row["tensor"]: row for row in data(found)["tensors"]}
    assert rows["total"]["status"] == "blocked" and "Bogus" in rows["total"]["problem"]
    assert rows["lif_step"]["waits_for"] == ["node 'total' (Bogus)"]
    assert rows["again"]["status"] == "computed"
    assert rows["lif"]["status"] == "blocked" and rows["lif_count"]["status"] == "waiting"
    (loop,) = data(found)["loops"]
    assert loop["complete"] is False and loop["neurons"] == []
    assert "1 problem blocks" in text(found)


def test_names_inside_cannot_break_the_terminal() -> None:
    model = recurrent_network()
    hostile = {"lif": "[red]\x1b[31m", "again": "[/x]\n\x07", "seen_step": "[bold]\x1b]0;"}
    body = scan_body(model)
    for node in body.node:
        node.name = hostile.get(node.name, node.name)
        node.input[:] = [hostile.get(n, n) for n in node.input]
        node.output[:] = [hostile.get(n, n) for n in node.output]
    for port in (*body.input, *body.output):
        port.name = hostile.get(port.name, port.name)
    found = check(model)
    shown = text(found)
    assert "\x1b" not in shown and "\x07" not in shown
    assert "[red]\\x1b[31m -> [red]\\x1b[31m, 1 step later, through [/x]\\n\\x07" in shown
    assert "\x1b" not in "".join(strings(data(found)))


def strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [s for pair in value.items() for part in pair for s in strings(part)]
    if isinstance(value, list):
        return [s for part in value for s in strings(part)]
    return [value] if isinstance(value, str) else []


def test_scans_of_one_name_keep_their_steps() -> None:
    model = recurrent_models.stacked()
    scans = [node for node in model.graph.node if node.op_type == "Scan"]
    for node in scans:
        node.name = "twice"
    found = check(model)
    assert [loop.steps for loop in found.survey.loops] == [5, 5]
    assert text(found).count("node 'twice' (Scan)") == 4  # over each body, and for each in time


def test_a_network_without_steps_is_shown_as_before() -> None:
    found = data(check(mlp(Mlp())))
    assert set(found) == {"model", "supported", "tensors", "blockers", "layers", "host"}
    assert all("scan" not in row for row in found["tensors"])
    assert list(inside(check(mlp(Mlp())).survey)) == []


# The shape of the JSON, as docs/IMPORT.md has it --------------------------------------------------


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class WordJson(Strict):
    name: str
    tensor: str
    format: str
    overflow: str
    codes: tuple[int, int]
    values: tuple[float, float]
    starts: str


class ParameterJson(Strict):
    name: str
    count: int
    codes: tuple[int, int]
    values: tuple[float, float]


class NeuronsJson(Strict):
    node: str
    layer: str
    operator: str
    shape: list[int]
    kind: str
    preset: str
    traits: dict[str, str]
    fed_by: list[str]
    states: list[WordJson]
    attributes: dict[str, int | str]
    parameters: list[ParameterJson]


class CarriedJson(Strict):
    tensor: str
    source: str
    steps: int
    written_by: list[str]
    through: list[str]
    read_by: list[str]
    recurrent: bool
    shape: list[int]
    format: str


class LoopJson(Strict):
    node: str
    steps: int
    goes_on: bool
    neurons: list[NeuronsJson]
    carried: list[CarriedJson]
    complete: bool


def test_the_shape_of_the_json(recurrent: Check) -> None:
    for found in (recurrent, check(recurrent_models.model(recurrent_models.Recurrent("lstm")))):
        for loop in data(found)["loops"]:
            LoopJson.model_validate_json(json.dumps(loop))


def test_a_delay_that_leads_nowhere_back_is_no_recurrence() -> None:
    """The input of the step before, beside this step's."""
    net = Network((3,))
    now = net.quant("x", "xq", 2, 4)
    drive = net.dense(now, (3, 4), "fc", frac=4)
    late = net.dense(net.state("past", (1, 3)), (3, 4), "late", frac=4)
    spikes = net.neuron(lif(), "lif", net.node("Add", [drive, late], "total"), (1, 4))
    net.node("Identity", [now], "past_next")
    found = check(finished(net, spikes, (4,), 5))
    (past,) = data(found)["loops"][0]["carried"]
    assert past["recurrent"] is False
    assert (past["written_by"], past["read_by"]) == (["x_step"], ["lif"])
    assert "x_step -> lif, 1 step later, through late: delay" in text(found)
