"""Networks that encode their input themselves: one number in, its spikes made in the circuit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from codesign.api import generate
from codesign.builddir import BuildDir
from codesign.errors import UnsupportedModel
from codesign.exchange import (
    DOMAIN,
    check_version,
    decompose,
    read_encoder,
    recompose,
    with_encoder,
    with_functions,
    without_functions,
)
from codesign.exchange.coders import encoder_node, execute_encoder
from codesign.exchange.domain import ENCODERS, is_encoder
from codesign.exchange.sequence import as_sequence
from codesign.frontend import import_qonnx
from codesign.frontend.execute import execute_batch
from codesign.hdl.spikes.encode_area import area_of
from codesign.ops.encode import Encode
from codesign.spikes import coders
from tests.spiking.networks import encoded_network

CODERS: dict[str, coders.Encoder] = {
    "rate": coders.Rate(6, 5, 5, seed=3),
    "latency": coders.Latency(6, 5, 5, low=2),
    "direct": coders.Direct(4, 4, 2, signed=True),
    "binary": coders.Count(7, 3, 0, form="binary"),
    "ternary": coders.Count(4, 3, 0, form="ternary"),
    "bitwise": coders.Count(4, 4, 0, form="bitwise"),
    "delta": coders.Delta(6, 5, 3, low=4, signed=True),
}
#: What the quick suite builds.
QUICK = {"latency"}


@pytest.mark.parametrize(
    "kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in CODERS]
)
@pytest.mark.parametrize("target", [60, pytest.param(200, marks=pytest.mark.slow)])
def test_all_executions_agree(kind: str, target: int, tmp_path: Path) -> None:
    """qonnx = reference = RTL, and the cycles of the whole circuit as planned."""
    design = generate(encoded_network(CODERS[kind]), tmp_path / "build", target_ii=target)
    manifest = BuildDir.open(design.path).manifest
    report = design.verify(random_frames=200, cocotb=False)
    assert report.ok, report
    assert {"qonnx = reference", "reference = RTL"} <= {e.link for e in report.evidence}
    assert (report.latency, report.ii) == (manifest.latency, manifest.ii)


@pytest.mark.parametrize("kind", CODERS)
def test_the_circuit_encodes_as_the_host_did(kind: str) -> None:
    """The network with its encoder inside answers as the one that is given the steps."""
    encoder = CODERS[kind]
    whole, rest = encoded_network(encoder), encoded_network(encoder, inside=False)
    inside = import_qonnx(whole)
    assert [n.op.encoder for n in inside.graph.nodes if isinstance(n.op, Encode)] == [encoder]
    lo, hi = encoder.span
    codes = np.random.default_rng(1).integers(lo, hi + 1, (20, *encoder.in_shape(6)))
    values = np.ldexp(codes.astype(np.float32), -encoder.frac)
    steps = np.ldexp(encoder.encode(codes).astype(np.float32), -encoder.out_frac)
    wanted, found = (
        execute_batch(model, x, [model.model.graph.output[0].name])
        for model, x in ((import_qonnx(rest), steps), (inside, values))
    )
    (a,), (b,) = wanted.values(), found.values()
    assert np.array_equal(a, b)
    assert a.any()


@pytest.mark.parametrize("kind", CODERS)
def test_nodes_say_what_they_stand_for(kind: str) -> None:
    encoder = CODERS[kind]
    node = encoder_node(encoder, "e", "x", "y")
    assert node.op_type in ENCODERS
    assert read_encoder(node).encoder == encoder
    for place, attribute in enumerate(node.attribute):
        broken = encoder_node(encoder, "e", "x", "y")
        del broken.attribute[place]
        with pytest.raises(UnsupportedModel, match=f"'{attribute.name}' is missing"):
            read_encoder(broken)


def test_what_is_no_code_is_refused() -> None:
    node = encoder_node(CODERS["latency"], "e", "x", "y")
    for value, what in ((0.01, "nearest"), (1.0, "outside 0..31"), (-1 / 32, "outside")):
        with pytest.raises(UnsupportedModel, match=what):
            execute_encoder(node, {"x": np.full((1, 2), value, np.float32)})
    with pytest.raises(UnsupportedModel, match="shape"):
        execute_encoder(node, {"x": np.zeros((1, 2, 2), np.float32)})


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"steps": 7}, "its 'steps' is 7"), ({"seed": -1}, "seed"), ({"bits": 17}, "bits")],
)
def test_wrong_encoders_are_refused(changes: dict[str, Any], what: str) -> None:
    scan = encoded_network(CODERS["rate"], inside=False)
    with pytest.raises((UnsupportedModel, ValueError), match=what):
        with_encoder(scan, replace(CODERS["rate"], **changes))


def test_another_encoding_than_the_metadata_name_is_refused() -> None:
    scan = encoded_network(CODERS["rate"], inside=False)
    with pytest.raises(UnsupportedModel, match="'encoding' is latency, that of the metadata rate"):
        with_encoder(scan, CODERS["latency"])


def test_too_few_steps_for_a_count_are_refused() -> None:
    with pytest.raises(ValueError, match="need 7 steps"):
        coders.Count(6, 3, 0, form="binary")


def edited(name: str, change: Any) -> ModelProto:
    """The rate network, ``change`` applied to the node that writes ``name``."""
    model = encoded_network(CODERS["rate"])
    change(next(n for n in model.graph.node if name in n.output))
    return model


def test_a_quantizer_of_other_codes_is_refused() -> None:
    def finer(node: Any) -> None:
        node.attribute[[a.name for a in node.attribute].index("frac")].i = 4

    with pytest.raises(UnsupportedModel, match=r"unsigned codes of 5 bits in steps of 2\^-4"):
        import_qonnx(edited("x_encoded", finer))


def test_an_unquantized_input_is_refused() -> None:
    def around(node: Any) -> None:
        node.input[0] = "x"

    model = edited("x_encoded", around)
    with pytest.raises(UnsupportedModel, match="read beside it"):
        import_qonnx(model)
    del model.graph.node[0]
    with pytest.raises(UnsupportedModel, match="reads float32"):
        import_qonnx(model)


def test_every_encoder_is_found_in_the_estimates() -> None:
    """More lanes and a hash cost more; all have a price."""
    sizes = {"elements": 16, "lanes": 4}
    found = {k: area_of(c, **sizes) for k, c in CODERS.items()}
    assert all(a.lut > 0 and a.ff > 0 for a in found.values())
    assert found["rate"].lut > 4 * found["latency"].lut
    assert area_of(CODERS["rate"], elements=16, lanes=8).lut > 1.5 * found["rate"].lut


def test_decomposed_encoders_are_found_again() -> None:
    """In the file, and by the importer."""
    for encoder in CODERS.values():
        model = encoded_network(encoder)
        plain = decompose(model)
        assert not any(n.domain == DOMAIN for n in plain.graph.node)
        assert recompose(plain).graph == model.graph
        again, first = (import_qonnx(m).graph.nodes for m in (plain, model))
        assert [n.op.kind for n in again] == [n.op.kind for n in first]
        check_version(with_functions(model))
        assert without_functions(with_functions(model)) == model


def test_windows_that_go_on_keep_their_encoder() -> None:
    model = encoded_network(CODERS["latency"], metadata={"reset_at_window": False})
    made = as_sequence(model)
    assert len(made.graph.input) == 1 and sum(map(is_encoder, made.graph.node)) == 1
    graph = import_qonnx(model).graph
    assert graph.values[graph.inputs[0]].shape == (6,)
