"""NIR files whose sizes, numbers or edges make no sense: one clear message each, at the command
line as well."""

from __future__ import annotations

from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

from codesign.cli import main
from codesign.errors import CodesignError
from codesign.frontend.nir import import_nir
from tests.frontend.nir_models import DT, W, chain, lif, policy, weights


def conv() -> nir.NIRGraph:
    layer = nir.Conv2d((6, 6), weights(1, 2, 1, 3, 3), 1, 0, 1, 1, np.zeros(2))
    return chain(layer, shape=(1, 6, 6))


def pool() -> nir.NIRGraph:
    two = np.array([2, 2])
    return chain(nir.SumPool2d(two, np.ones(2, int), np.zeros(2, int)), shape=(1, 6, 6))


def dense() -> nir.NIRGraph:
    return chain(nir.Linear(W), lif(4))


FIELDS = [  # of the first node (or the input), what is written there instead, the message
    (conv, "n0/stride", np.array([1, 2, 3]), "strides 1, 2, 3"),
    (conv, "n0/stride", -1, "strides -1, -1"),
    (conv, "n0/dilation", 0, "dilations 0, 0"),
    (conv, "n0/padding", -1, "paddings -1, -1, -1, -1"),
    (conv, "n0/padding", 10**9, "a value of shape .2, 2000000004, 2000000004., of more than"),
    (conv, "n0/groups", 0, "groups 0"),
    (conv, "n0/bias", np.zeros(7), "a bias of shape .7,. for 2 outputs"),
    (conv, "n0/weight", np.zeros((0, 1, 3, 3)), "weight sizes 0, 1, 3, 3"),
    (pool, "n0/kernel_size", np.zeros(2, int), "window sizes 0, 0"),
    (pool, "n0/kernel_size", np.array([-2, 2]), "window sizes -2, 2"),
    (pool, "n0/stride", np.zeros(2, int), "strides 0, 0"),
    (dense, "n0/weight", np.full((4, 3), np.nan), "a weight is not finite"),
    (dense, "n0/weight", np.zeros((0, 3)), "weight sizes 0, 3"),
    (dense, "input/shape", np.array([0]), r"an input of shape \[0\]"),
    (dense, "input/shape", np.array([-3]), r"an input of shape \[-3\]"),
    (dense, "input/shape", np.array([2**40]), r"at most \d+ elements in all"),
    (dense, "input/shape", np.array([2.5]), r"an input of shape \[2.5\]"),
]


@pytest.mark.parametrize("make, field, value, says", FIELDS)
def test_fields(make, field: str, value: object, says: str, tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    nir.write(path, make())
    with h5py.File(path, "r+") as file:
        del file[f"node/nodes/{field}"]
        file[f"node/nodes/{field}"] = value
    with pytest.raises(CodesignError, match=says):
        import_nir(path, policy())


def graph(edges: list[tuple[str, str]], **nodes: object) -> nir.NIRGraph:
    ends = {"input": nir.Input(np.array([3])), "output": nir.Output(np.array([4]))}
    return nir.NIRGraph({**ends, **nodes}, edges, type_check=False)


FC = {"fc": nir.Linear(W), "lif": lif(4)}
AHEAD = [("input", "fc"), ("fc", "lif"), ("lif", "output")]
GRAPHS = [
    (graph([*AHEAD, ("fc", "back"), ("back", "fc2"), ("fc2", "back"), ("back", "lif")], **FC,
           back=nir.Linear(np.eye(4)), fc2=nir.Linear(np.eye(4))),
     "in a loop without a neuron or delay: back, fc2$"),
    (graph(AHEAD, **FC, alone=lif(4)), "nothing reaches alone"),
    (graph([("input", "output")]), "the output is the input"),
    (graph([*AHEAD, ("lif", "ghost")], **FC), "an edge names node 'ghost'"),
    (graph([("input", "a"), ("a", "output")], a=lif(0)),
     r"a parameter of shape \(0,\) for neurons of shape \(3,\)"),
    (graph([*AHEAD[:1], ("fc", "wait"), ("wait", "output")], fc=FC["fc"],
           wait=nir.Delay(np.full(4, DT))),
     "a delay of weighted sums"),
]  # fmt: skip


@pytest.mark.parametrize("given, says", GRAPHS)
def test_graphs(given: nir.NIRGraph, says: str) -> None:
    with pytest.raises(CodesignError, match=f"(?m){says}"):
        import_nir(given, policy())


def test_what_leads_nowhere_is_said() -> None:
    made = import_nir(graph([*AHEAD, ("fc", "dead")], **FC, dead=lif(4)), policy())
    assert made.warnings == ("node 'dead' leads nowhere: the circuit is built without it",)
    assert import_nir(graph(AHEAD, **FC), policy()).warnings == ()


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A message and an exit code, no traceback."""
    net, under = tmp_path / "net.nir", tmp_path / "policy.toml"
    nir.write(net, graph([("input", "a"), ("a", "a"), ("a", "output")], a=nir.Linear(np.eye(3))))
    with pytest.raises(SystemExit):
        main(["nir-policy", "snntorch_default"])
    under.write_text(capsys.readouterr().out)
    with pytest.raises(SystemExit) as ended:
        main(["import-nir", str(net), "--policy", str(under), "-o", str(tmp_path / "net.onnx")])
    assert ended.value.code == 4
    assert "loop without a neuron or delay: a" in capsys.readouterr().err
    assert not (tmp_path / "net.onnx").exists()
