"""JSON objects from files, strictly: UTF-8, one object, every name once.

Readers disagree on which of two equal names counts, so a header that has one twice means different things to different programs
and is refused. Values stay raw until the caller decodes them as exactly what it expects, which keeps a hostile document from
growing in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def members(text: bytes | memoryview) -> Mapping[str, msgspec.Raw]:
    """Returns the members of one JSON object by name, in their order, values undecoded.

    Args:
        text: The whole document.

    Raises:
        ValueError: It is not valid JSON, not an object, not UTF-8, nested too deeply, or has a name twice.
    """
    content = bytes(text)
    found = _members(content)
    if b"\\" in content:
        _refuse_repeated_names(content)
    elif content.count(b'"') != sum(2 + bytes(value).count(b'"') for value in found.values()):
        # without escapes every quote belongs to a name or to a value that was kept: some name stands there twice
        _refuse_repeated_names(content)
        raise ValueError("a name stands there twice")
    return found


def decoder(kind: type[T]) -> Callable[[bytes | memoryview | msgspec.Raw], T]:
    """Returns a function that decodes a raw value as exactly the given type, and raises ValueError where it is something else."""
    decode = msgspec.json.Decoder(kind).decode

    def decoded(value: bytes | memoryview | msgspec.Raw) -> T:
        try:
            return decode(value)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        except msgspec.MsgspecError as error:
            raise ValueError(_lower(str(error))) from None
        except UnicodeDecodeError:
            raise ValueError("it is not UTF-8") from None

    return decoded


_members = decoder(dict[str, msgspec.Raw])


def _refuse_repeated_names(text: bytes) -> None:
    def once(pairs: list[tuple[str, Any]]) -> None:
        names: set[str] = set()
        for name, _ in pairs:
            if name in names:
                raise ValueError(f"the name `{name}` stands there twice")
            names.add(name)

    try:
        json.loads(text, object_pairs_hook=once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
