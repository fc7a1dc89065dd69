"""Weights written over AXI4-Lite: dense, convolutional and depthwise networks, proven on each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from codesign.api import Design, generate
from codesign.builddir import BuildDir
from codesign.cli import main
from codesign.errors import MismatchError, UnsupportedModel, UsageError
from codesign.verify import verify
from tests.cnn_models import Net
from tests.models import Mlp, mlp
from tests.recurrent_models import Recurrent
from tests.recurrent_models import model as recurrent


def retrained(model: onnx.ModelProto, seed: int = 5, **changes: float) -> onnx.ModelProto:
    """``model`` with other weights, and initializers whose names contain ``changes`` scaled."""
    out, rng = onnx.ModelProto(), np.random.default_rng(seed)
    out.CopyFrom(model)
    for tensor in out.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.name.endswith(".weight") or tensor.name.startswith("weight_"):
            array = rng.normal(0, 1, array.shape).astype(np.float32)
        for part, factor in changes.items():
            if part in tensor.name:
                array = (array * factor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return out


def small_cnn() -> onnx.ModelProto:
    """A convolution with padding, a strided one, and a dense layer."""
    net = Net((2, 6, 6), seed=3)
    x = net.quant(net.node("Relu", net.conv(net.quant("x"), 2, 4, (3, 3), pads=[1] * 4)), 4, 0.5)
    x = net.quant(net.batch_norm(net.conv(x, 4, 6, (3, 3), strides=[2, 2]), 6), 4, 0.5)
    return net.model(net.dense(net.node("Flatten", x), 24, 5))


def depthwise() -> onnx.ModelProto:
    """A depthwise convolution on codes with a zero point, then a pointwise and a grouped one."""
    net = Net((4, 5, 5), seed=4)
    x = net.quant("x", zero=3.0, signed=False)
    x = net.quant(net.conv(x, 4, 4, (3, 3), group=4, pads=[1] * 4), 4, 0.5)
    x = net.quant(net.conv(x, 4, 6, (1, 1)), 4, 0.5)
    return net.model(net.conv(x, 6, 4, (3, 3), group=2))


MODELS = {
    "dense": (mlp(Mlp(batch_norm=True, scale="channel"), 11), {"target_ii": 24}),
    "dense, smallest": (mlp(Mlp(), 11), {"smallest": True}),
    "dense, zero point": (mlp(Mlp(zero_point=3, scale="float"), 11), {"target_ii": 10}),
    "dense, 8 bits": (mlp(Mlp(weight_bits=8, act_bits=8), 11), {"target_ii": 24}),
    "dense, one fold": (mlp(Mlp(), 11), {"target_ii": 1}),
    "convolutions": (small_cnn(), {"target_ii": 400}),
    "convolutions, fast": (small_cnn(), {"target_ii": 18}),
    "depthwise": (depthwise(), {"target_ii": 300}),
    "depthwise, fast": (depthwise(), {"target_ii": 25}),
}


#: A folding and a scale of each kind of layer; the others are part of the long suite.
QUICK = {"dense", "dense, zero point", "convolutions", "depthwise, fast"}


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in MODELS]
)
def test_other_weights_are_proven(name: str, tmp_path: Path) -> None:
    model, target = MODELS[name]
    design = generate(model, tmp_path / "build", runtime_weights=True, **target)
    for weights in (None, retrained(model)):
        report = design.verify(weights=weights, random_frames=100, cocotb=False)
        assert (report.latency, report.ii) == (design.manifest.latency, design.manifest.ii)
        links = [evidence.link for evidence in report.evidence]
        assert links.count("reference = RTL") == 2 and "qonnx = reference" in links
    writes = design.load_weights(model).writes
    words = [m.words * m.parts for r in design.manifest.registers for m in (r.weights, r.starts)]
    assert len(writes) == sum(words) == len({address for address, _ in writes})
    assert max(address for address, _ in writes) < 1 << design.manifest.axil_address_bits


def test_extreme_weights(tmp_path: Path) -> None:
    """Every weight at an end of its format: the accumulators are wide enough."""
    model = mlp(Mlp(bias=False), 11)
    design = generate(model, tmp_path / "build", runtime_weights=True, target_ii=24)
    for sign in (-1, 1):
        extreme = retrained(model)
        for tensor in extreme.graph.initializer:
            if tensor.name.endswith(".weight"):
                array = numpy_helper.to_array(tensor)
                tensor.CopyFrom(numpy_helper.from_array(0 * array + sign * 9, tensor.name))
        assert design.verify(weights=extreme, random_frames=100, cocotb=False).ok


def test_cocotb_loads_them_too(tmp_path: Path) -> None:
    model = mlp(Mlp(), 11)
    design = generate(model, tmp_path / "build", runtime_weights=True, target_ii=24)
    report = design.verify(weights=retrained(model), random_frames=50)
    assert len(report.benches) == 5 and report.ok


def test_wrong_writes_are_found(tmp_path: Path) -> None:
    """A weight that is off by a bit, one left out, one at an address that does not exist."""
    model = mlp(Mlp(), 11)
    design = generate(model, tmp_path / "build", runtime_weights=True, target_ii=24)
    build = BuildDir.open(design.path)

    def outcome(change) -> list[str]:
        weights = design.load_weights(retrained(model))
        change(weights.writes)
        report = verify(build, weights=weights, random_frames=50, cocotb=False)
        assert not report.ok
        return [e.note for e in report.evidence if e.link == "reference = RTL"]

    def flip(writes):
        writes[3] = writes[3][0], writes[3][1] ^ 1

    def beyond(writes):
        writes.append((writes[-1][0] + 4, 0))

    assert outcome(flip) == ["", ""]
    assert outcome(lambda writes: writes.pop(3)) == ["", ""]
    assert all("register accesses failed" in note for note in outcome(beyond))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias": 2.0}, "another thresholds in 'fc0_q'"),
        ({"fc0_q_scale": 2.0}, "layer 'fc0'"),
        ({"fc0_w_scale": 2.0}, "layer 'fc0'"),
        ({"x_q_scale": 2.0}, "the input has"),
    ],
)
def test_other_networks_are_refused(changes: dict, message: str, tmp_path: Path) -> None:
    model = mlp(Mlp(), 11)
    design = generate(model, tmp_path / "build", runtime_weights=True, target_ii=24)
    with pytest.raises(UnsupportedModel, match=message):
        design.load_weights(retrained(model, **changes))


def test_other_structures_are_refused(tmp_path: Path) -> None:
    design = generate(mlp(Mlp(), 1), tmp_path / "build", runtime_weights=True, target_ii=24)
    for other in (
        Mlp(sizes=(12, 8, 8, 5)),
        Mlp(sizes=(12, 7, 5)),
        Mlp(weight_bits=5),
        Mlp(act_bits=5),
    ):
        with pytest.raises(UnsupportedModel, match="not the design's network"):
            design.load_weights(mlp(other, 1))


def test_unrolled_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="layer 'fc0': an unrolled layer has its weights wired in"):
        generate(mlp(Mlp()), tmp_path / "build", unrolled=True, runtime_weights=True)
    assert not (tmp_path / "build").exists()


def test_loops_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="a recurrent loop cannot have run-time weights"):
        generate(recurrent(Recurrent()), tmp_path / "build", smallest=True, runtime_weights=True)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, build = mlp(Mlp(), 11), tmp_path / "build"
    onnx.save(model, tmp_path / "net.onnx")
    onnx.save(retrained(model), tmp_path / "new.onnx")

    def run(*arguments: object) -> int:
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        return int(ended.value.code or 0)

    plain = ["generate", tmp_path / "net.onnx", "-o", build, "--target-ii", 24, "-q"]
    assert run(*plain) == 0
    assert run("weights", build, tmp_path / "new.onnx", "-o", tmp_path / "w.json") == 2
    assert "--runtime-weights" in capsys.readouterr().err
    assert run(*plain, "--runtime-weights") == 0
    for name in ("w.json", "w.bin"):
        assert run("weights", build, tmp_path / "new.onnx", "-o", tmp_path / name) == 0
    writes = Design(build).load_weights(tmp_path / "new.onnx").writes
    assert json.loads((tmp_path / "w.json").read_text())["writes"] == [list(w) for w in writes]
    packed = np.fromfile(tmp_path / "w.bin", "<u4").reshape(-1, 2)
    assert packed.tolist() == [list(w) for w in writes]
    assert (
        run("verify", build, "--weights", tmp_path / "new.onnx", "--no-cocotb", "--random", 50) == 0
    )


def test_mismatch_names_the_layer(tmp_path: Path) -> None:
    model = mlp(Mlp(), 11)
    design = generate(model, tmp_path / "build", runtime_weights=True, target_ii=24)
    rtl = design.path / "rtl" / "codesign_top.v"
    text = rtl.read_text()
    broken = text.replace("m_axis_tdata = ", "m_axis_tdata = 8'd1 ^ ", 1)
    assert broken != text
    rtl.write_text(broken)
    with pytest.raises(MismatchError):
        design.verify(weights=retrained(model), random_frames=50, cocotb=False)


def test_estimates_include_it(tmp_path: Path) -> None:
    model = mlp(Mlp(), 11)
    plain, loadable = (
        generate(model, tmp_path / str(runtime), runtime_weights=runtime, target_ii=24).manifest
        for runtime in (False, True)
    )
    for one, other in zip(plain.layers, loadable.layers, strict=True):
        assert (one.pe, one.simd, one.ii) == (other.pe, other.simd, other.ii)
        assert one.latency <= other.latency <= one.latency + 1
        assert other.estimate.lut > one.estimate.lut and other.estimate.ff > one.estimate.ff
    assert plain.registers == [] and plain.axil_address_bits == 0
