"""Where the value of one attribute comes from, judged by what the methods of its class do to it.

The verdict is what matters for saving: whether a new object of the class, given the same arguments, would have the same value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from intact.model.survival.effect import DATA, OPAQUE, RANDOM, Effect, Effects
from intact.model.survival.effects import effects_of
from intact.model.survival.methods import is_of_library, per_class

Origin = Literal[
    "random", "accumulated", "first-use", "later", "outside", "transient", "cache", "constructed", "opaque", "unknown"
]
"""How the value came about; the first five do not come back in a new object."""

_GIVING_WORDS = (
    "set fit load update calibrate register adapt init build compute estimate learn add store attach use prepare configure "
    "finalize freeze train step push observe"
)
GIVING = frozenset(_GIVING_WORDS.split())
"""First words of methods that give an object something to keep; others (`encode`, `sample`) leave results behind."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Where a value comes from, and what says so.

    Attributes:
        origin: The kind of origin.
        because: The evidence as a clause that ends a sentence.
    """

    origin: Origin
    because: str = ""


_CONSTRUCTED, _TRANSIENT, _OPAQUE = Judgement("constructed"), Judgement("transient"), Judgement("opaque")


def origin_of(cls: type, name: str) -> Judgement:
    """Returns where the value of one attribute of a class comes from."""
    known = _judgements(cls)
    if name not in known:
        known[name] = _judged(cls, name)
    return known[name]


@per_class
def _judgements(cls: type) -> dict[str, Judgement]:  # noqa: ARG001 - one for each class
    return {}


def _judged(cls: type, name: str) -> Judgement:
    known = effects_of(cls)
    effects = known.on(name)
    if not effects:
        return _without_effect(cls, name, known)
    run = [effect for effect in effects if effect.phase != "construct"]
    return (
        _accumulated(known, name, run)
        or _overwritten(run)
        or _first_use(known, name, run)
        or (None if name in known.cleared else _random(effects))
        or _given_later(known, name, run)
        or (_OPAQUE if any(effect.marks & OPAQUE for effect in effects) else _CONSTRUCTED)
    )


def _without_effect(cls: type, name: str, known: Effects) -> Judgement:
    """An attribute that no method assigns: one of the library, one whose name is made up when it is set, or one from outside."""
    if name in known.mentioned and not known.readable:
        return Judgement("unknown")
    if known.dynamic or (name in known.mentioned and _from_library(cls)):
        return Judgement("unknown")
    if not known.readable and not is_of_library(cls):
        return Judgement("unknown")
    return Judgement("outside", f"no method of `{cls.__name__}` sets it: it was given to the object from outside")


def _from_library(cls: type) -> bool:
    """Whether a base of torch's own, other than the root of all modules, may have set it."""
    return any(is_of_library(base) and base.__name__ not in ("Module", "object") for base in cls.__mro__)


def _accumulated(known: Effects, name: str, run: Iterable[Effect]) -> Judgement | None:
    """What is updated from its own old value and the data, and used: learned, whatever it is called."""
    running = [e for e in run if (e.how == "accumulate" or e.own) and e.marks & DATA]
    if not running or name not in known.reads or name in known.cleared or known.clears:
        return None
    if any(e.how == "assign" and e.marks & DATA and not e.own and not _not_yet(known, e) for e in run if e.phase == "run"):
        return _TRANSIENT
    return Judgement("accumulated", f"`{running[0].method}` updates it from the data it is given, and it is used afterwards")


def _overwritten(run: Iterable[Effect]) -> Judgement | None:
    """What `forward` sets anew each time, or what other methods draw anew, is nobody's state."""
    for effect in run:
        if effect.guards:
            continue
        if effect.how in ("assign", "register", "inplace") and effect.phase == "run":
            return _TRANSIENT
        if effect.marks & RANDOM and not effect.marks & DATA:
            return _TRANSIENT
    return None


def _first_use(known: Effects, name: str, run: list[Effect]) -> Judgement | None:
    """What is set under a test that it is not there yet, out of the data of that moment."""
    forgotten = any(e.phase == "later" and e.value is None for e in run)
    for effect in run:
        if effect.how == "part" or not _not_yet(known, effect) or effect.value is not ...:
            continue
        if name in known.cleared:
            break
        if effect.marks & DATA or (effect.marks & RANDOM and not forgotten):
            out_of = "the data" if effect.marks & DATA else "random numbers"
            return Judgement("first-use", f"`{effect.method}` sets it once, from {out_of} of its first use")
    return Judgement("cache") if any(e.phase == "run" and e.how in ("assign", "register") for e in run) else None


def _not_yet(known: Effects, effect: Effect) -> bool:
    """Whether an effect happens once: under a test of the attribute itself, or of a flag that is set under the same test."""
    return effect.name in effect.guards or any(is_flag(known, guard) for guard in effect.guards)


def is_flag(known: Effects, name: str) -> bool:
    """Whether an attribute is set to a constant under the very test that asks for it, outside of construction."""
    return any(e.phase != "construct" and name in e.guards and e.value not in (..., None) for e in known.on(name)) or any(
        e.phase != "construct" and name in e.guards and e.how == "inplace" for e in known.on(name)
    )


def _random(effects: Iterable[Effect]) -> Judgement | None:
    for effect in effects:
        if effect.phase == "construct" and effect.marks & RANDOM:
            return Judgement("random", f"`{effect.method}` makes it from random numbers, anew in every object")
    return None


def _given_later(known: Effects, name: str, run: Iterable[Effect]) -> Judgement | None:
    for effect in run:
        words = effect.method.lstrip("_").split("_")
        giving = words[0] in GIVING and "reset" not in words
        if effect.phase == "later" and effect.marks & DATA and effect.how != "part" and giving and name in known.reads:
            return Judgement("later", f"`{effect.method}` sets it, after construction")
    return None
