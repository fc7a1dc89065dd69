"""What a spiking model says about time: one JSON object among the model's metadata."""

from __future__ import annotations

from typing import Literal

from onnx import ModelProto, helper
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codesign.errors import UnsupportedModel
from codesign.exchange.domain import printable

#: Key in ``metadata_props``.
KEY = "codesign.spiking"
#: Readouts of smoothed outputs: every step, or the last.
BESSEL = ("bessel", "bessel_last")


class Metadata(BaseModel):
    """Every field is mandatory.

    ``steps``: time steps of a window. ``dt``: seconds from one step to the next. ``encoding``: how
    an input became what each step receives. ``readout``: how the outputs of a window are read: by
    spike counts, the last membrane or the sum of all, who fires first, or smoothed by a
    ``BesselDecoder`` (every step, or the last). ``reset_at_window``: whether every window starts
    from the initial states; else each goes on where the last one ended.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    steps: int = Field(ge=1, le=1 << 16)
    dt: float = Field(gt=0, allow_inf_nan=False)
    encoding: Literal["rate", "latency", "delta", "direct", "count", "events"]
    readout: Literal[
        "count", "membrane", "membrane_sum", "first_spike", "bessel", "bessel_last"
    ]  # fmt: skip
    reset_at_window: bool


def write_metadata(model: ModelProto, metadata: Metadata) -> None:
    """Enter ``metadata`` into ``model``, in place of what it had."""
    found = {p.key: p.value for p in model.metadata_props} | {KEY: metadata.model_dump_json()}
    helper.set_model_props(model, found)


def read_metadata(model: ModelProto) -> Metadata:
    """The metadata of ``model``; :class:`UnsupportedModel` where absent, repeated or malformed."""
    found = [p.value for p in model.metadata_props if p.key == KEY]
    where, fields = f"model metadata '{KEY}'", ", ".join(Metadata.model_fields)
    hint = f"give one JSON object with {fields} (docs/EXCHANGE.md)"
    if len(found) != 1:
        what = "it is missing" if not found else f"it is there {len(found)} times"
        raise UnsupportedModel(what, where=where, hint=hint)
    try:
        return Metadata.model_validate_json(found[0])
    except ValidationError as reason:
        first = reason.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        what = f"field '{printable(place)}': {first['msg']}" if place else first["msg"]
        raise UnsupportedModel(printable(what, 200), where=where, hint=hint) from None
