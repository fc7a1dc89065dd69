"""What a spiking framework leaves open and a circuit needs: formats. Every field is mandatory."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codesign.errors import UsageError
from codesign.frontend.names import printable

MAX_POLICY_BYTES = 1 << 16


class Strict(BaseModel):
    """Unknown fields are errors; nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class InputFormat(Strict):
    """Codes of the network's input, worth ``2**-frac``: spikes are 1 bit, frac 0, unsigned."""

    bits: int = Field(ge=1, le=16)
    frac: int = Field(ge=-24, le=24)
    signed: bool


class WeightFormat(Strict):
    """Codes of weights, two's complement. A bias has the step of the sums it is added to."""

    bits: int = Field(ge=1, le=16)
    frac: int = Field(ge=-24, le=24)


class StateFormat(Strict):
    """A word of state, see :class:`codesign.neurons.Word`."""

    bits: int = Field(ge=1, le=24)
    frac: int = Field(ge=-24, le=24)
    signed: bool
    overflow: Literal["sat_step", "sat_narrow", "sat_add", "sat_change", "wrap"]


class LeakFormat(Strict):
    """How a decay is held. mul_*: a product with ``frac`` fraction bits, rounded; shift_*: only
    decays of ``1 - 2**-k`` (``frac`` 0)."""

    kind: Literal["mul_floor", "mul_trunc0", "mul_round", "shift_floor", "shift_min1"]
    frac: int = Field(ge=0, le=24)


class Formats(Strict):
    """``parameters``: "exact" refuses a weight, decay or threshold that its format cannot hold,
    naming the nearest it can; "nearest" takes that one and reports the largest change.
    ``rounding``: of a sum whose step is finer than that of the state. ``synapse``: None where no
    neuron has a synaptic current."""

    parameters: Literal["exact", "nearest"]
    rounding: Literal["exact", "floor", "trunc0", "half_even"]
    input: InputFormat
    weights: WeightFormat
    state: StateFormat
    leak: LeakFormat
    synapse: StateFormat | None = None
    synapse_leak: LeakFormat | None = None


Model = TypeVar("Model", bound=BaseModel)


def read_toml(path: str | Path, kind: type[Model]) -> Model:
    """A policy from a TOML file. Raises :class:`UsageError` naming the first wrong field."""
    where = printable(str(path), 200)
    try:
        data = Path(path).read_bytes()[: MAX_POLICY_BYTES + 1]
        if len(data) > MAX_POLICY_BYTES:
            raise UsageError(f"more than {MAX_POLICY_BYTES} bytes", where=where, hint="shorten it")
        return parse(tomllib.loads(data.decode()), kind, where)
    except OSError as reason:
        what = f"cannot be read: {reason.strerror}"
        raise UsageError(what, where=where, hint="give the path of a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as reason:
        what = f"not TOML: {printable(str(reason), 200)}"
        raise UsageError(
            what, where=where, hint="'codesign nir-policy PRESET' prints a policy"
        ) from None


def parse(data: object, kind: type[Model], where: str) -> Model:
    """``data`` as a policy; :class:`UsageError` naming the first wrong field."""
    try:
        return kind.model_validate(data)
    except ValidationError as reason:
        first = reason.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"field '{printable(place)}': {printable(first['msg'], 200)}",
            where=where,
            hint="every field is mandatory: docs/SPIKING.md lists them",
        ) from None
