"""plan.toml: a user's own choices, per design and per layer. Untrusted, so checked by schema."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from codesign.errors import UsageError
from codesign.schema import Strict


class DesignChoice(Strict):
    """The ``[design]`` table."""

    style: Literal["folded", "unrolled"] = "folded"
    target_ii: int | None = Field(default=None, gt=0)
    fps: float | None = Field(default=None, gt=0)
    clock_mhz: float | None = Field(default=None, gt=0)


class LayerChoice(Strict):
    """A ``[layers.NAME]`` table; what is left out is planned."""

    style: Literal["folded", "unrolled"] | None = None
    pe: int | None = Field(default=None, gt=0)
    simd: int | None = Field(default=None, gt=0)
    pixels: int | None = Field(default=None, gt=0)
    multiplier: Literal["lut", "dsp"] | None = None
    memory: Literal["auto", "block", "lut"] | None = None
    depth: int | None = Field(default=None, gt=0)


class PlanFile(Strict):
    """A whole plan file."""

    design: DesignChoice = DesignChoice()
    layers: dict[str, LayerChoice] = {}
    fifos: dict[str, Annotated[int, Field(ge=0)]] = {}


def read_plan(path: Path) -> PlanFile:
    """Parse ``path``; ``UsageError`` naming the field or the line that is wrong."""
    try:
        return PlanFile.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        raise UsageError(f"cannot read: {error.strerror}", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"not TOML: {error}", where=str(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"field '{field}': {first['msg']}", where=str(path)) from error
