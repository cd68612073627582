"""What intact knows of each element type, under the name torch gives it.

A dtype is a string everywhere in the package (`"float32"`), because descriptions are made without torch and because a file may
name a dtype that nobody here knows yet. This table says what can be known without torch: the width and the kind, and for
floating types the precision, which is enough to tell whether *every* value of one type fits another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["float", "int", "uint", "bool", "complex", "quantized"]


@dataclass(frozen=True, slots=True)
class Dtype:
    """One element type.

    Attributes:
        name: As torch spells it, without `torch.`.
        bits: Width of one element in bits.
        kind: What the bits mean.
        digits: Significant binary digits, the hidden one included; for integers the digits of the magnitude.
        exponents: Smallest (subnormal) and largest power of two of a floating type; (0, 0) for others.
    """

    name: str
    bits: int
    kind: Kind
    digits: int
    exponents: tuple[int, int] = (0, 0)

    @property
    def itemsize_bytes(self) -> int:
        """Bytes that one element takes; types narrower than a byte take one byte."""
        return max(1, self.bits // 8)


_ROWS = (
    Dtype("float64", 64, "float", 53, (-1074, 1023)),
    Dtype("float32", 32, "float", 24, (-149, 127)),
    Dtype("float16", 16, "float", 11, (-24, 15)),
    Dtype("bfloat16", 16, "float", 8, (-133, 127)),
    Dtype("float8_e4m3fn", 8, "float", 4, (-9, 8)),
    Dtype("float8_e4m3fnuz", 8, "float", 4, (-10, 7)),
    Dtype("float8_e5m2", 8, "float", 3, (-16, 15)),
    Dtype("float8_e5m2fnuz", 8, "float", 3, (-17, 15)),
    Dtype("float8_e8m0fnu", 8, "float", 1, (-127, 127)),
    Dtype("float4_e2m1fn_x2", 8, "quantized", 2),  # two numbers in one element, and torch casts neither
    Dtype("complex128", 128, "complex", 53, (-1074, 1023)),
    Dtype("complex64", 64, "complex", 24, (-149, 127)),
    Dtype("complex32", 32, "complex", 11, (-24, 15)),
    Dtype("int64", 64, "int", 63),
    Dtype("int32", 32, "int", 31),
    Dtype("int16", 16, "int", 15),
    Dtype("int8", 8, "int", 7),
    Dtype("uint64", 64, "uint", 64),
    Dtype("uint32", 32, "uint", 32),
    Dtype("uint16", 16, "uint", 16),
    Dtype("uint8", 8, "uint", 8),
    Dtype("bool", 8, "bool", 1),
    Dtype("qint8", 8, "quantized", 7),
    Dtype("quint8", 8, "quantized", 8),
    Dtype("qint32", 32, "quantized", 31),
    Dtype("quint4x2", 8, "quantized", 4),
    Dtype("quint2x4", 8, "quantized", 2),
)
DTYPES: dict[str, Dtype] = {row.name: row for row in _ROWS}


def dtype_named(name: str) -> Dtype | None:
    """Returns what is known of a dtype, or None for one that nobody here knows."""
    return DTYPES.get(name)


def holds_every_value(wide: str, narrow: str) -> bool:
    """Tells whether `wide` represents every value of `narrow` exactly; False where one of them is unknown."""
    a, b = DTYPES.get(wide), DTYPES.get(narrow)
    if a is None or b is None or "quantized" in (a.kind, b.kind):
        return wide == narrow
    if a == b or b.kind == "bool":
        return True
    if b.kind in ("int", "uint"):
        return _holds_integers(a, b)
    if b.kind == "complex" and a.kind != "complex":
        return False
    if a.kind not in ("float", "complex"):
        return False
    return a.digits >= b.digits and a.exponents[0] <= b.exponents[0] and a.exponents[1] >= b.exponents[1]


def _holds_integers(wide: Dtype, narrow: Dtype) -> bool:
    if wide.kind in ("float", "complex"):
        return wide.digits >= narrow.digits and wide.exponents[1] >= narrow.digits
    if wide.kind == "uint" and narrow.kind == "int":
        return False
    return wide.kind != "bool" and wide.digits >= narrow.digits
