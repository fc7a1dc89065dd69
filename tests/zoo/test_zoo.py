"""Every zoo network by every export path: imported, and equal to qonnx and to PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")

from tests.zoo import blocks, bnn_pynq, compare, layers  # noqa: E402
from tests.zoo.registry import DYNAMO, ZOO  # noqa: E402

assert bnn_pynq and blocks and layers  # importing them fills the zoo


#: The dynamo export takes seconds a network: these few in every round, the rest in the long suite.
DYNAMO_ALWAYS = {
    "tfc_w1a1", "residual_shared", "keyword_1d", "zero_points", "unet_nearest",
    "truncated_average_pool", "float_gelu",
}  # fmt: skip


def _cases() -> list[object]:
    cases = []
    for entry in ZOO.values():
        for path in entry.paths:
            slow = entry.slow or (path == DYNAMO and entry.name not in DYNAMO_ALWAYS)
            marks = [pytest.mark.slow] if slow else []
            cases.append(pytest.param(entry.name, path, id=f"{entry.name}-{path}", marks=marks))
    return cases


@pytest.mark.parametrize(("name", "path"), _cases())
def test_reference_equals_qonnx_and_pytorch(name: str, path: str) -> None:
    entry = ZOO[name]
    runs = compare.run(entry, path, frames=4 if entry.slow else compare.FRAMES)
    for node in runs.imported.graph.nodes:  # a layer of zeros would prove nothing
        weights = getattr(node.op, "weights", None)
        assert weights is None or weights.size == 1 or len(np.unique(weights)) > 1, node.name
    compare.assert_equal(runs.qonnx, exact=entry.exact)
    assert bool(runs.torch) != (path in entry.unlike_torch)
    if runs.torch:
        compare.assert_equal(runs.torch, exact=entry.exact)
