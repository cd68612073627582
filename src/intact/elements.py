"""Elements as bits and as numbers: widening that loses nothing, and narrowing as torch casts.

Types that numpy does not have (bfloat16, the float8 family) are widened to one that holds all their values, and rounding
to them is done on the bits: to nearest, ties to even, and beyond the largest number what torch does there.

Source:
    Compared with torch 2.13.0 on every bit pattern of the 8- and 16-bit types and on random patterns of the others.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from intact.core.dtype import Dtype
from intact.errors import CannotRead

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NUMPY = {
    "float64": "f8", "float32": "f4", "float16": "f2", "complex128": "c16", "complex64": "c8", "int64": "i8", "int32": "i4",
    "int16": "i2", "int8": "i1", "uint64": "u8", "uint32": "u4", "uint16": "u2", "uint8": "u1", "bool": "?",
}  # fmt: skip


def widen(raw: NDArray[Any], known: Dtype) -> NDArray[Any]:
    """Returns stored bits as numbers, exactly."""
    import numpy as np

    if known.name == "bool":
        return np.asarray(raw != 0)
    if known.name in _NUMPY:
        return np.asarray(raw.view(_NUMPY[known.name]))
    if known.name == "complex32":
        parts = raw.view(np.float16).astype(np.float32)
        return np.asarray(parts.view(np.complex64))
    if known.name == "bfloat16":
        return np.asarray((raw.astype(np.uint32) << 16).view(np.float32))
    return np.asarray(_table_of(known.name)[raw])


@cache
def _table_of(name: str) -> NDArray[np.float32]:
    """Returns the value of each of the 256 codes of an eight-bit floating type."""
    import numpy as np

    layout = _EIGHT_BITS.get(name)
    if layout is None:
        raise CannotRead(f"the values of {name} cannot be read", code="version/needs-newer-torch")
    exponent_bits, mantissa_bits, bias = layout
    codes = np.arange(256)
    if name == "float8_e8m0fnu":
        values = np.ldexp(1.0, codes - 127)
        values[255] = np.nan
        return values.astype(np.float32)
    exponent = (codes >> mantissa_bits) & ((1 << exponent_bits) - 1)
    fraction = codes & ((1 << mantissa_bits) - 1)
    normal = np.ldexp(1.0 + fraction / (1 << mantissa_bits), exponent - bias)
    values = np.where(exponent == 0, np.ldexp(fraction / (1 << mantissa_bits), 1 - bias), normal)
    values = np.where(codes >= 128, -values, values)
    if name == "float8_e4m3fn":
        values[[127, 255]] = np.nan
    elif name == "float8_e5m2":
        values[[124, 252]] = np.inf, -np.inf
        values[[125, 126, 127, 253, 254, 255]] = np.nan
    else:
        values[128] = np.nan
    return values.astype(np.float32)


_EIGHT_BITS = {
    "float8_e4m3fn": (4, 3, 7), "float8_e4m3fnuz": (4, 3, 8), "float8_e5m2": (5, 2, 15), "float8_e5m2fnuz": (5, 2, 16),
    "float8_e8m0fnu": (8, 0, 127),
}  # fmt: skip


def narrow(values: NDArray[Any], to: Dtype) -> NDArray[Any]:
    """Returns numbers as the elements of another type, as torch casts them."""
    import numpy as np

    with np.errstate(all="ignore"):
        if np.iscomplexobj(values) and to.kind != "complex":
            values = values.real
        if to.name == "bool":
            return np.asarray(values != 0)
        if to.kind in ("int", "uint"):
            return _to_integers(values, to)
        if to.name in _NUMPY:
            return np.asarray(values.astype(_NUMPY[to.name]))
        if to.name == "complex32":
            parts = values.astype(np.complex64).view(np.float32).astype(np.float16)
            return parts.view(np.uint32)
        if to.name == "bfloat16":
            return _to_bfloat16(values.astype(np.float32))
        return _to_table(values.astype(np.float32), to.name)


def _to_integers(values: NDArray[Any], to: Dtype) -> NDArray[Any]:
    """Cuts off fractions, then keeps the low bits, as torch's casts do on ordinary machines."""
    import numpy as np

    if values.dtype.kind == "f":
        whole = np.trunc(values)
        fits = np.isfinite(whole) & (np.abs(whole) < 2.0**63)
        values = np.where(fits, whole, 0).astype(np.int64)
    return np.asarray(values.astype(_NUMPY[to.name]))


def _to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    import numpy as np

    bits = values.view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), np.uint32(0x7FC0), rounded).astype(np.uint16)


_KEPT_BITS = 17
"""Upper bits of a float32 that decide its rounding to eight bits; the last of them also stands for all the bits below it."""


def _to_table(values: NDArray[np.float32], name: str) -> NDArray[np.uint8]:
    """Rounds to the nearest code of an eight-bit type, ties to the even code, by looking it up."""
    import numpy as np

    bits = np.ascontiguousarray(values).view(np.uint32)
    below = np.uint32(32 - _KEPT_BITS)
    sticky = (bits & np.uint32((1 << int(below)) - 1)) != 0
    return np.asarray(_codes_of(name)[(bits >> below) | sticky])


@cache
def _codes_of(name: str) -> NDArray[np.uint8]:
    """Returns the code for each pattern of upper bits."""
    import numpy as np

    patterns = np.arange(1 << _KEPT_BITS, dtype=np.uint32) << np.uint32(32 - _KEPT_BITS)
    with np.errstate(all="ignore"):
        return _nearest_codes(patterns.view(np.float32), name)


def _nearest_codes(values: NDArray[np.float32], name: str) -> NDArray[np.uint8]:
    import numpy as np

    table = _table_of(name)
    codes = np.arange(256 if name == "float8_e8m0fnu" else 128)
    codes = codes[np.isfinite(table[codes])]
    order = table[codes].astype(np.float64)
    magnitude = np.abs(values.astype(np.float64))
    above = np.clip(np.searchsorted(order, magnitude), 1, len(order) - 1)
    low, high = order[above - 1], order[above]
    up = (magnitude - low > high - magnitude) | ((magnitude - low == high - magnitude) & (codes[above] % 2 == 0))
    code = np.where(up, codes[above], codes[above - 1])
    limit = order[-1] + (order[-1] - order[-2]) / 2
    beyond = (magnitude > limit) | ((magnitude == limit) & (codes[-1] % 2 == 1)) | np.isnan(values)
    code = np.where(beyond, _beyond(name, values), code)
    negative = np.signbit(values) & ~((name.endswith("uz")) & (code == 0))
    return np.where(negative & (name != "float8_e8m0fnu") & (code < 128), code | 128, code).astype(np.uint8)


def _beyond(name: str, values: NDArray[np.float32]) -> NDArray[Any]:
    """Returns the code of what is beyond the largest number: infinity, the largest number, or NaN, as torch 2.13 has it."""
    import numpy as np

    if name == "float8_e5m2":
        return np.where(np.isnan(values), 127, 124)
    if name == "float8_e4m3fn":
        return np.where(np.isnan(values), 127, 126)
    return np.full(values.shape, 255 if name == "float8_e8m0fnu" else 128)


def unsigned(to: Dtype) -> Any:
    """Returns the numpy type of raw elements of a dtype: unsigned integers, 16 plain bytes for complex128."""
    import numpy as np

    return np.dtype((np.void, 16)) if to.itemsize_bytes == 16 else np.dtype(f"u{to.itemsize_bytes}")
