"""Fixtures shared by all tests: one small generated design of each style."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.models import Mlp, mlp


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 12-8-5 network in a file."""
    path = tmp_path_factory.mktemp("model") / "net.onnx"
    onnx.save(mlp(Mlp()), path)
    return path
