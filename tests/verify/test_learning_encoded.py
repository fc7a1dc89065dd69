"""Designs whose circuit encodes its input before the layers that learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codesign.api import Design, generate
from codesign.builddir import BuildDir
from codesign.errors import UnsupportedModel, UsageError
from codesign.learning.header import with_header
from codesign.ops.headed_encode import HeadedEncode
from codesign.reference import run
from codesign.spikes import coders
from codesign.train.spiking.lessons import save_lessons
from codesign.verify.learning import Pupil
from codesign.verify.lessons import random_lessons, read_lessons
from tests.spiking import networks
from tests.verify.test_learning import rule_of

ENCODERS: dict[str, coders.Encoder] = {
    "rate": coders.Rate(4, 3, 3, seed=7),
    "latency": coders.Latency(3, 3, 3, low=2),
    "delta": coders.Delta(4, 4, 3, low=3, signed=True),
    "bitwise": coders.Count(4, 4, 4, form="bitwise"),
    "binary": coders.Count(7, 3, 3, form="binary"),
}
#: What the quick suite generates: a header of two rows of codes becomes one of a row of spikes.
QUICK = "delta"


def encoded(name: str, folder: Path) -> Design:
    """(3 codes or) 2 codes a step, to 4 (delta) or 3 inputs, 4 and 3 neurons that learn."""
    sizes = (4 if name == "delta" else 3, 4, 3)
    model = networks.encoded_network(ENCODERS[name], sizes)
    return generate(model, folder / "build", learn=rule_of(model))


@pytest.fixture(scope="module")
def design(tmp_path_factory: pytest.TempPathFactory) -> Design:
    return encoded(QUICK, tmp_path_factory.mktemp("encoded"))


def proven(design: Design) -> None:
    report = design.verify(random_frames=60, cocotb=False)
    assert report.ok and report.learning is not None and report.learning.weights_changed
    links = {e.link: e for e in report.evidence}
    assert "x_encoded" in links["reference = RTL"].tensors
    assert "x_encoded" in links["model = layers before they learn"].tensors
    notes = {e.note for e in report.evidence if e.link == "cycles predicted = measured"}
    assert len(notes) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODERS)
def test_training_runs_behind_an_encoder_are_proven(name: str, tmp_path: Path) -> None:
    proven(encoded(name, tmp_path))


def test_the_header_passes_the_encoder(design: Design) -> None:
    """Codes 0 and 1 before the signal become the header of its spikes."""
    pupil = Pupil.open(BuildDir(design.path))
    encoder, (steps, features) = ENCODERS[QUICK], pupil.shape
    assert (steps, features) == (4, 2) and pupil.span == (-8, 7)
    lessons = random_lessons(40, pupil.shape, pupil.classes, 1, pupil.span)
    frames = pupil.frames(lessons.x, lessons.y, True)
    assert frames.shape == (32, (2 + steps) * features)
    (node,) = (n for n in pupil.graph.nodes if isinstance(n.op, HeadedEncode))
    codes = frames.reshape(-1, 2 + steps, features)
    found = run(pupil.graph, {pupil.circuit.source.name: codes}, keep=[node.output])[node.output]
    spikes = encoder.encode(lessons.x)
    assert (found == with_header(spikes, np.ones(32), lessons.y, 3)).all()
    codes[5, 0, 0] = 2
    with pytest.raises(ValueError, match="bit 0 of the header of frame 5 is 2, not 0 or 1"):
        node.op.execute([], codes)
    codes[5, 0, 0], codes[6, 0, 1], codes[6, 1, 0] = 1, 1, 1
    with pytest.raises(ValueError, match="target of frame 6 is 3, not a class"):
        node.op.execute([], codes)


@pytest.mark.parametrize(
    "encoder", [coders.Direct(4, 3, 3, signed=False), coders.Count(4, 3, 2, form="ternary")]
)
def test_what_is_no_spikes_is_refused(tmp_path: Path, encoder: coders.Encoder) -> None:
    model = networks.encoded_network(encoder, (3, 4, 3))
    rule = rule_of(networks.event_network((3, 4, 3), 4))
    with pytest.raises(UnsupportedModel, match="learn read spikes .*encoder makes") as caught:
        generate(model, tmp_path / "build", learn=rule)
    assert "spikes of 0 and 1" in str(caught.value) and not (tmp_path / "build").exists()


def test_codes_do_not_come_as_events(tmp_path: Path) -> None:
    model = networks.encoded_network(ENCODERS["rate"], (3, 4, 3))
    with pytest.raises(UsageError, match="cannot come as events"):
        generate(model, tmp_path / "build", learn=rule_of(model), input="events")


def test_lessons_of_codes(tmp_path: Path) -> None:
    """Vectors of codes, or signals; others are refused."""
    path, span = tmp_path / "codes.npz", (0, 7)
    x, y = np.arange(60).reshape(20, 3) % 8, np.arange(20) % 3
    np.savez(path, frames=x, labels=y)
    found = read_lessons(path, (1, 3), 3, span)
    assert found.x.shape == (16, 1, 3) and (found.x[:4, 0] == x[:4]).all()
    np.savez(path, frames=x + 1, labels=y)
    with pytest.raises(UsageError, match=r"codes are 0\.\.7"):
        read_lessons(path, (1, 3), 3, span)
    np.savez(path, frame=y, time=y, address=y, labels=y)
    with pytest.raises(UsageError, match=r"the circuit encodes codes of 0\.\.7 itself"):
        read_lessons(path, (1, 3), 3, span)
    with pytest.raises(UsageError, match="events are not encoded"):
        save_lessons("digits", path, steps=4, encoding="rate", seed=0, data=None, events=True,
                     codes=True)  # fmt: skip
