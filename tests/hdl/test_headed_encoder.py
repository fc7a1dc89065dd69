"""Encoders that what is said of a frame passes: every bit, and every cycle."""

import numpy as np
import pytest

from codesign.hdl import timing
from codesign.hdl.learning.encoded import HeadedEncoder
from codesign.hdl.spikes.build_encoder import encoder_of
from codesign.learning.header import with_header
from codesign.spikes import coders
from tests.hdl import spike_harness as bench

#: (encoder, codes of a row, lanes)
CASES = [
    (coders.Rate(3, 4, 0, seed=3), 6, 2),
    (coders.Latency(3, 4, 0, low=2), 2, 1),
    (coders.Delta(3, 4, 0, low=2, signed=True), 4, 2),
    (coders.Delta(1, 4, 0, low=2, signed=False), 1, 1),
    (coders.Count(4, 4, 0, form="bitwise"), 6, 6),
]
FRAMES, CLASSES = 6, 5


@pytest.mark.parametrize("case", CASES, ids=[c[0].kind + str(c[1]) for c in CASES])
@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.4, 0.0), (0.3, 0.5)])
def test_codes_and_header_become_spikes_and_header(case, stalls):
    encoder, features, lanes = case
    lo, hi = encoder.span
    vectors, outputs = (encoder.steps, 2 * features) if encoder.over_time else (1, features)
    inner = encoder_of(encoder, (lo, hi), elements=features, lanes=lanes)
    part = HeadedEncoder(
        inner, elements=features, vectors=vectors, outputs=outputs, steps=encoder.steps,
        lanes=lanes, classes=CLASSES,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    x = rng.integers(lo, hi + 1, (FRAMES, vectors, features))
    learn, target = rng.integers(0, 2, FRAMES), rng.integers(0, CLASSES, FRAMES)
    spikes = encoder.encode(x if encoder.over_time else x[:, 0])
    wanted = with_header(spikes, learn, target, CLASSES).reshape(FRAMES, -1)
    whole = with_header(x, learn, target, CLASSES).reshape(FRAMES, -1)
    words = bench.dense_words(whole & (1 << encoder.bits) - 1, part.i)
    seen = bench.run(part, words, wanted.size // lanes, stalls=stalls, seed=2)
    assert (bench.dense_of(seen.words, part.o, FRAMES) == wanted).all()
    if stalls == (0.0, 0.0):
        model = timing.drive(lambda: [part.timing()], len(words), 1)
        assert (seen.taken, seen.given) == model
