"""Formats as text: what is written reads as itself; what no quantizer has is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.errors import UsageError
from codesign.formats import QuantFormat, ScaledInt, parse_format
from codesign.ops.quant import Quant

SCALES = st.floats(
    min_value=2.0**-149, max_value=2.0**127, width=32, allow_nan=False, allow_subnormal=True
)


@st.composite
def formats(draw: st.DrawFn) -> QuantFormat:
    bits, signed = draw(st.integers(1, 24)), draw(st.booleans())
    powers = st.integers(-149, 127).map(lambda n: 2.0**n)
    scale = draw(st.lists(SCALES | powers | st.just(1.0), min_size=1, max_size=5))
    narrow = bits > 1 and draw(st.booleans())
    zero = 0 if signed and bits == 1 else draw(st.integers(-(1 << 24), 1 << 24))
    return QuantFormat(bits, signed, narrow, tuple(scale), draw(st.sampled_from([0, zero])))


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(formats())
def test_a_format_reads_as_it_is_written(format: QuantFormat) -> None:
    assert parse_format(str(format)) == format
    assert parse_format(f"  {str(format).replace(':', ' : ').replace(',', ', ')} ") == format


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(formats())
def test_its_codes_are_those_of_the_quantizer(format: QuantFormat) -> None:
    """Integer ends are exact in float32, so the operation's format is the same."""
    zero, scale = np.float32(format.zero_point), np.float32(format.scale)
    op = Quant(scale, zero, format.bits, format.signed, format.narrow)
    assert op.out_format == format.codes


CODES = {
    "int16:2^-10": ScaledInt(-(2**15), 2**15 - 1, (2.0**-10,)),
    "uint8:1/255": ScaledInt(0, 255, (float(np.float32(1 / 255)),)),
    " uint8:0.5:128 ": ScaledInt(0, 255, (0.5,), 128),
    "uint8:0.5:+3": ScaledInt(0, 255, (0.5,), 3),
    "int4": ScaledInt(-8, 7),
    "int8:narrow": ScaledInt(-127, 127),
    "int8:2^-7:-1:narrow": ScaledInt(-127, 127, (2.0**-7,), -1),
    "uint8:1:narrow": ScaledInt(0, 254),
    "bipolar:0.5": ScaledInt(-1, 1, (0.5,)),
    "int1": ScaledInt(-1, 1),
    "ternary": ScaledInt(-1, 1),
    "bool:1e-3": ScaledInt(0, 1, (float(np.float32(1e-3)),)),
    "uint4:0.25, 0.5,2^2": ScaledInt(0, 15, (0.25, 0.5, 4.0)),
}


@pytest.mark.parametrize("text", CODES)
def test_written_formats(text: str) -> None:
    assert parse_format(text).codes == CODES[text]


def test_short_names() -> None:
    """A format has one text, and -1 and +1 are told from -1, 0 and +1."""
    assert str(parse_format("int1:0.5")) == "bipolar:2^-1"
    assert str(parse_format("int2:0.1:narrow")) == "ternary:0.1"
    assert str(parse_format("uint1")) == "bool"
    assert str(parse_format("int8:1.0:narrow")) == "int8:narrow"
    assert str(parse_format("int8:1/255")) == "int8:0.003921569"
    assert parse_format("bipolar").bipolar and not parse_format("ternary").bipolar


BAD = {
    "": "starts with",
    "int": "starts with",
    "fp8": "starts with",
    "Int8": "starts with",
    "int0": "0 bits are not 1 to 24",
    "int25": "25 bits are not 1 to 24",
    "int8:": "'' is no number",
    "int8:x": "'x' is no number",
    "int8:1/0": "is no number",
    "int8:1/2/3": "is no number",
    "int8:2^x": "is no number",
    "int8:2^999": "not a float32 number",
    "int8:2^-999": "not positive",
    "int8:-1": "not positive",
    "int8:nan": "not positive",
    "int8:inf": "not positive",
    "int8:0.1,,0.2": "'' is no number",
    "int8:1:1.5": "zero point '1.5' is no integer",
    "int8:1:99999999": "exceeds",
    "int8:1:0:3": "'3' follows the zero point",
    "int8:1:narrow:3": "follows the zero point",
    "bipolar:1:1": "no zero point",
    "bool:narrow": "no narrow range",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot read the format") as error:
        parse_format(text)
    assert BAD[text] in str(error.value)
    assert "bipolar:0.5" in str(error.value.hint) and "narrow" in str(error.value.hint)
