"""One thing that a method does to an attribute of its object, and all that is known of a class in this way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

RANDOM, DATA, OPAQUE = 1, 2, 4
"""Marks of a value: it is random; it comes from what the method was given; code that could not be followed has a hand in it."""

Phase = Literal["construct", "run", "later"]
How = Literal["assign", "register", "inplace", "accumulate", "part"]
Env = dict[str, int]
Guards = frozenset[str]


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that a method does to an attribute of its object.

    Attributes:
        name: The attribute.
        phase: While it is constructed, in `forward`, or in another method.
        how: A new value, a new buffer, new values in the old memory, made from the old ones, or in a part of it.
        marks: Where the values come from: any of `RANDOM`, `DATA` and `OPAQUE`.
        own: Whether the attribute's old value goes into the new one.
        guards: Attributes that were not there, or not true, where it happens; those of which it was only asked, too.
        method: Where it stands.
        value: The constant that is assigned; `...` where it is none.
    """

    name: str
    phase: Phase
    how: How
    marks: int = 0
    own: bool = False
    guards: Guards = frozenset()
    method: str = ""
    value: Any = ...


@dataclass(frozen=True, slots=True)
class Effects:
    """What is known of one class.

    Attributes:
        effects: In the order in which they were met.
        reads: Attributes that `forward` and the other methods read for more than their own update.
        used: Those of them that `forward` reads; all of them where there is none.
        cleared: Attributes that a method such as `reset` sets: what is gathered in them is for a while only.
        clears: Whether such a method sets attributes whose names are not in the source.
        mentioned: Every name that any method mentions, methods of torch's own bases included.
        dynamic: Whether names are set that are no constants in the source.
        readable: Whether there is source of the constructor.
    """

    effects: tuple[Effect, ...] = ()
    reads: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()
    cleared: frozenset[str] = frozenset()
    clears: bool = False
    mentioned: frozenset[str] = frozenset()
    dynamic: bool = False
    readable: bool = False

    def on(self, name: str) -> tuple[Effect, ...]:
        """Returns what is done to one attribute."""
        return tuple(effect for effect in self.effects if effect.name == name)
