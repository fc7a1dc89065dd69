"""Every zoo network by every export path: imported, and equal to qonnx and to PyTorch."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")

from tests.zoo import blocks, bnn_pynq, compare, layers  # noqa: E402
from tests.zoo.registry import ZOO  # noqa: E402

assert bnn_pynq and blocks and layers  # importing them fills the zoo


def _cases() -> list[object]:
    marks = {True: [pytest.mark.slow], False: []}
    return [
        pytest.param(entry.name, path, id=f"{entry.name}-{path}", marks=marks[entry.slow])
        for entry in ZOO.values()
        for path in entry.paths
    ]


@pytest.mark.parametrize(("name", "path"), _cases())
def test_reference_equals_qonnx_and_pytorch(name: str, path: str) -> None:
    entry = ZOO[name]
    runs = compare.run(entry, path, frames=4 if entry.slow else compare.FRAMES)
    compare.assert_equal(runs.qonnx, exact=entry.exact)
    compare.assert_equal(runs.torch, exact=entry.exact)
    assert bool(runs.torch) != (path in entry.unlike_torch)
