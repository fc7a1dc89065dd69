"""Networks whose outputs a Bessel low-pass smooths: from the file to the circuit."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from codesign.api import generate
from codesign.builddir import BuildDir
from codesign.errors import UnsupportedModel
from codesign.exchange import read_decoder, with_decoder
from codesign.exchange.decoder import decoder_node, execute_decoder
from codesign.exchange.sequence import as_sequence
from codesign.frontend import import_qonnx
from codesign.frontend.execute import execute_batch
from codesign.ops.bessel import Bessel as BesselOp
from codesign.spikes.bessel import Bessel, Sections, design
from tests.spiking.networks import dense_network, smoothed_maps, smoothed_network

SECOND, FOURTH = design(2, 0.3, 10, 6), design(4, 0.25, 12, 8)
INTEGRATE = {"output": "membrane", "reset": "none"}
NETWORKS: dict[str, Any] = {
    "last": lambda: smoothed_network(SECOND, theta=[12]),
    "every": lambda: smoothed_network(FOURTH, "bessel", theta=[12]),
    "membranes": lambda: smoothed_network(SECOND, sizes=(6, 4), **INTEGRATE),
    "maps": lambda: smoothed_maps(SECOND),
    "one_step": lambda: smoothed_network(SECOND, steps=1, sizes=(6, 4), **INTEGRATE),
}


@pytest.mark.parametrize(
    "kind", [k if k == "last" else pytest.param(k, marks=pytest.mark.slow) for k in NETWORKS]
)
def test_all_executions_agree(kind: str, tmp_path: Path) -> None:
    """qonnx = reference = RTL under stalls, and the cycles of the whole circuit as planned."""
    design = generate(NETWORKS[kind](), tmp_path / "build", target_ii=100)
    manifest = BuildDir.open(design.path).manifest
    assert "bessel" in [layer.op for layer in manifest.layers]
    report = design.verify(random_frames=200, cocotb=False)
    assert report.ok, report
    assert {"qonnx = reference", "reference = RTL"} <= {e.link for e in report.evidence}
    assert report.ii is not None
    assert (report.latency, ceil(report.ii)) == (manifest.latency, manifest.ii)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_file_smooths_what_the_network_puts_out(kind: str) -> None:
    model = NETWORKS[kind]()
    imported = import_qonnx(model)
    (op,) = [n.op for n in imported.graph.nodes if isinstance(n.op, BesselOp)]
    shape = imported.graph.values[imported.graph.inputs[0]].shape
    x = np.random.default_rng(1).integers(-8, 8, (20, *shape)) / 4
    before, after = (model.graph.output[0].name.removesuffix("_bessel"), model.graph.output[0].name)
    names = [before, after, imported.model.graph.output[0].name]
    found = execute_batch(imported, x.astype(np.float32), names)
    codes = np.ldexp(found[before], op.decoder.frac).astype(np.int64)
    wanted = np.ldexp(op.decoder.decode(codes), -op.decoder.out_frac)
    assert np.array_equal(found[after], wanted) and found[after].any()
    result = found[names[2]]
    assert np.array_equal(result, wanted if kind in ("every", "maps") else wanted[:, -1])


def test_sequences_are_made_once() -> None:
    for kind in ("last", "every"):
        made = as_sequence(NETWORKS[kind]())
        assert as_sequence(made) == made


def decoder() -> Bessel:
    return Bessel(5, 4, 2, True, SECOND)


def test_nodes_say_what_they_stand_for() -> None:
    node = decoder_node(decoder(), "d", "x", "y")
    again = read_decoder(node).decoder
    assert (again.steps, again.bits, again.frac, again.signed) == (5, 4, 2, True)
    assert np.array_equal(again.sections.coefficients, SECOND.coefficients)
    assert (again.sections.frac, again.sections.guard) == (10, 6)
    for place, attribute in enumerate(node.attribute):
        broken = decoder_node(decoder(), "d", "x", "y")
        del broken.attribute[place]
        with pytest.raises(UnsupportedModel, match=f"'{attribute.name}' is missing"):
            read_decoder(broken)


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("order", 4, "'coefficients' has 5 numbers"),
        ("order", 3, "'order' is 3"),
        ("coefficients", [1 << 27, 0, 0, 0, 0], "'coefficients' has 134217728"),
        ("coefficients", [1023, 1023, 1023, -2048, 1024], None),
        ("coefficients", [1 << 26, 0, 0, -2048, 1024], "float32 holds 24 bits"),
        ("coefficients", 7, "of type INT"),
        ("bits", [4], "of type INTS"),
        ("guard", 25, "'guard' is 25"),
        ("version", 2, "version 2 of BesselDecoder"),
    ],
)
def test_wrong_attributes_are_refused(name: str, value: object, what: str | None) -> None:
    from onnx import helper

    node = decoder_node(decoder(), "d", "x", "y")
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
    if what is None:  # unstable, and its range proven all the same
        assert read_decoder(node).decoder.sections.coefficients[0, 3] == -2048
        return
    with pytest.raises(UnsupportedModel, match=what):
        read_decoder(node)


def test_what_is_no_code_is_refused() -> None:
    node = decoder_node(decoder(), "d", "x", "y")
    for value, what in ((0.1, "nearest"), (2.0, r"outside -8\.\.7"), (-2.25, "outside")):
        with pytest.raises(UnsupportedModel, match=what):
            execute_decoder(node, {"x": np.full((1, 5, 2), value, np.float32)})
    with pytest.raises(UnsupportedModel, match=r"it reads 5 steps, \(5, ...\), not \(4, 2\)"):
        execute_decoder(node, {"x": np.zeros((1, 4, 2), np.float32)})


def with_readout(readout: str) -> ModelProto:
    return dense_network(metadata={"readout": readout})


def test_metadata_and_decoder_must_agree() -> None:
    with pytest.raises(UnsupportedModel, match="no BesselDecoder is behind the Scan"):
        import_qonnx(with_readout("bessel_last"))
    smooth = Bessel(7, 1, 0, False, SECOND)
    with pytest.raises(UnsupportedModel, match="the metadata name the readout 'count'"):
        with_decoder(with_readout("count"), smooth)
    with pytest.raises(UnsupportedModel, match="it reads 6 steps"):
        with_decoder(with_readout("bessel"), Bessel(6, 1, 0, False, SECOND))
    with pytest.raises(UnsupportedModel, match="smoothed already"):
        with_decoder(with_decoder(with_readout("bessel"), smooth), smooth)


def test_codes_of_another_word_are_refused() -> None:
    model = with_decoder(with_readout("bessel"), Bessel(7, 1, 2, False, SECOND))
    with pytest.raises(UnsupportedModel, match=r"takes codes 0..1 in steps of 2\^-2"):
        import_qonnx(model)


def test_ranges_hold_over_the_longest_window() -> None:
    """The proven range grows with the window, and stays a bound where a section nearly
    integrates."""
    slow = Sections(np.array([[1, 1, 0, -1022, 0]]), 10, 4)
    short, long = (Bessel(t, 1, 0, False, slow).out_span(0, 1)[1] for t in (8, 1 << 16))
    ones = np.ones((1, 1 << 12, 1), np.int64)
    assert short < long and slow.apply(ones).max() <= long
