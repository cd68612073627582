"""Entries of a checkpoint that are no tensors, as JSON: what every program can read, and nobody has to unpickle."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from intact.arrays import array_of, number_of
from intact.core.container import Foreign, Storage, TensorRecord

EXTRAS_SUFFIX = ".extras.json"
DEPTH_LIMIT = 100
ARRAY_LIMIT = 1000
"""Elements up to which an array of NumPy is written out."""
_SIMPLE = (bool, int, float, complex, str, tuple, type(None))
ENTRIES_LIMIT = 1_000_000


def extras_text(content: Any) -> bytes:
    """Returns the entries of inert objects that are no tensors as JSON, b"" where there are none.

    Tuples become lists; bytes, complex numbers, objects of foreign classes, NaN and infinity become mappings that say what they
    were.
    """
    plain = _Plain().of(content, 0)
    if plain is _NOTHING or plain in ({}, []):
        return b""
    return json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace") + b"\n"


_NOTHING = object()


class _Plain:
    def __init__(self) -> None:
        self._left = ENTRIES_LIMIT
        self._inside: set[int] = set()

    def of(self, value: Any, depth: int) -> Any:
        """Returns a value as JSON has it; `_NOTHING` for a tensor, and for what holds nothing else."""
        self._left -= 1
        if isinstance(value, TensorRecord | Storage):
            return _NOTHING
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int):
            return (
                value if value.bit_length() <= 64 else {"int": str(value)[:1000] if value.bit_length() < 10_000 else "too long"}
            )
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": str(value)}
        if isinstance(value, complex):
            return {"complex": [str(value.real), str(value.imag)]}
        if isinstance(value, bytes | bytearray | memoryview):
            return {"bytes": base64.b64encode(bytes(value[: 1 << 20])).decode(), "size": len(value)}
        if depth >= DEPTH_LIMIT or self._left <= 0 or id(value) in self._inside:
            return {"left out": "nested too deep, or in itself"}
        self._inside.add(id(value))
        try:
            return self._composed(value, depth)
        finally:
            self._inside.discard(id(value))

    def _composed(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            found = {str(key): self.of(member, depth + 1) for key, member in dict.items(value)}
            kept = {key: member for key, member in found.items() if member is not _NOTHING}
            return kept if kept or not found else _NOTHING
        if isinstance(value, list | tuple | set | frozenset):
            members = [self.of(member, depth + 1) for member in value]
            if members and all(member is _NOTHING for member in members):
                return _NOTHING
            return [None if member is _NOTHING else member for member in members]
        if isinstance(value, Foreign):
            known = number_of(array_of(value))
            if isinstance(known, bool | int | float | complex | str):
                return self.of(known, depth + 1)
            if known is not value and getattr(known, "size", ARRAY_LIMIT + 1) <= ARRAY_LIMIT:
                return {"array": self.of(known.tolist(), depth + 1), "dtype": str(known.dtype)}
            said: dict[str, Any] = {"class": value.name}
            if isinstance(value.state, dict) and isinstance(value.state.get("_parameters"), dict):
                return self._module(value, said, depth)
            for name in ("args", "state", "items"):
                part = getattr(value, name)
                if part is not None and (plain := self.of(part, depth + 1)) is not _NOTHING:
                    said[name] = plain
            return said
        return {"class": type(value).__name__}

    def _module(self, value: Foreign, said: dict[str, Any], depth: int) -> dict[str, Any]:
        """A pickled module: its class, its plain attributes, and the modules in it."""
        for name, attribute in dict.items(value.state):
            if type(name) is str and name[:1] != "_" and isinstance(attribute, _SIMPLE):
                said[name] = self.of(attribute, depth + 1)
        inner = value.state.get("_modules")
        if isinstance(inner, dict) and inner:
            said["modules"] = {str(name): self.of(child, depth + 1) for name, child in dict.items(inner)}
        return said
