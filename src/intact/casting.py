"""What a difference of dtype would do to the values, as one of six causes, each tensor under the gravest that applies.

Bytes are read only here, through the facts' `measure`, and only where the dtypes do not already settle that nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from intact.core.difference import Difference
from intact.core.dtype import dtype_named, holds_every_value
from intact.core.finding import Example, Finding
from intact.core.rule import CastLoss, Facts
from intact.core.wording import LOSS_FREE, by_permission, count, tensor_text
from intact.repairs.cast import Cast
from intact.repairs.place import Place


@dataclass(frozen=True, slots=True)
class Casting:
    """One difference of dtype with its figures.

    Attributes:
        difference: The difference.
        code: The cause it comes under.
        loss: The figures; None where the dtypes alone settle that nothing is lost, or where nothing could be measured.
    """

    difference: Difference
    code: str
    loss: CastLoss | None


@lru_cache(maxsize=4)
def castings(facts: Facts) -> tuple[Casting, ...]:
    """Returns every difference of dtype with its cause; facts are frozen, so the answer is kept for the rules that ask next."""
    return tuple(_casting(facts, difference) for difference in facts.of_kind("dtype"))


def _casting(facts: Facts, difference: Difference) -> Casting:
    assert difference.found is not None
    assert difference.expected is not None
    found, expected = difference.found.dtype, difference.expected.dtype
    if holds_every_value(expected, found):
        return Casting(difference, "dtype/widening", None)
    loss = _measured(facts, difference.found.sources, expected)
    if loss is None:
        return Casting(difference, _by_kind(found, expected), None)
    return Casting(difference, _by_figures(loss), loss)


def _measured(facts: Facts, sources: tuple[str, ...], expected: str) -> CastLoss | None:
    """The figures of a cast, all parts of a tensor together; None where one of them cannot be measured."""
    losses = [loss for source in sources if (loss := facts.measure(source, expected)) is not None]
    if not losses or len(losses) < len(sources):
        return None
    worst = max(losses, key=lambda loss: (loss.imaginary, loss.overflowed, loss.underflowed, loss.truncated, loss.rounded))
    total = {name: sum(getattr(loss, name) for loss in losses) for name in _ADDED_UP}
    largest = {name: max(getattr(loss, name) for loss in losses) for name in ("largest_absolute", "largest_relative")}
    return replace(worst, **total, **largest)


_ADDED_UP = ("elements", "changed", "rounded", "overflowed", "underflowed", "truncated", "imaginary")


def _by_figures(loss: CastLoss) -> str:
    if loss.exact:
        return "dtype/widening"
    if loss.imaginary:
        return "dtype/complex-to-real"
    if loss.overflowed:
        return "dtype/overflow"
    if loss.underflowed and _kind(loss.expected) in ("float", "complex"):
        return "dtype/underflow"
    return _by_kind(loss.found, loss.expected)


def _by_kind(found: str, expected: str) -> str:
    a, b = _kind(found), _kind(expected)
    if a == "complex" and b != "complex":
        return "dtype/complex-to-real"
    integers = ("int", "uint", "bool")
    return "dtype/int-float" if (a in integers) != (b in integers) else "dtype/narrowing"


def _kind(dtype: str) -> str:
    known = dtype_named(dtype)
    return known.kind if known else "unknown"


def findings(facts: Facts, code: str, what: str, cause: str) -> Iterator[Finding]:
    """Yields the casts of one cause: those that a buffer of the model can escape by taking the file's dtype, and the others.

    Args:
        facts: What the rule looks at.
        code: The cause.
        what: What happens to the values, for the headline (`overflow`, `are rounded`).
        cause: How it came to be.
    """
    mine = [casting for casting in castings(facts) if casting.code == code]
    kept = [casting for casting in mine if _may_keep_dtype(facts, casting)]
    lost = [casting for casting in mine if casting not in kept]
    if kept:
        step = Place(tuple(casting.difference.key for casting in kept), "replace")
        yield _finding(code, kept, what, cause, f"{LOSS_FREE}; the buffer takes the file's dtype", step)
    if lost:
        pairs = tuple((c.difference.key, c.difference.expected.dtype) for c in lost if c.difference.expected)
        help_ = by_permission(code, "values change as counted above")
        yield _finding(code, lost, what, cause, help_, Cast(pairs, lossless=False))


def _may_keep_dtype(facts: Facts, casting: Casting) -> bool:
    """Whether the model's buffer can take the file's dtype without changing what anybody chose.

    Integers that lose digits are never meant. A floating buffer that already holds the very rounding of the file's values was
    computed by the constructor and rounded when the whole model was cast; one that holds something else may be narrow by choice.
    """
    found, expected = casting.difference.found, casting.difference.expected
    if found is None or expected is None or expected.role != "buffer":
        return False
    if _kind(found.dtype) in ("int", "uint"):
        return True
    return facts.same_values(found.source, expected.dtype, casting.difference.key)


_COUNTS = {
    "dtype/complex-to-real": "imaginary",
    "dtype/overflow": "overflowed",
    "dtype/underflow": "underflowed",
    "dtype/int-float": "changed",
    "dtype/narrowing": "rounded",
}
"""Which figure a headline gives; the others stand beside the examples and in the evidence."""


def _finding(code: str, mine: list[Casting], what: str, cause: str, help_: str, step: Cast | Place) -> Finding:
    figures = {casting.difference.key: _figures(casting) for casting in mine}
    touched = sum(row.get("changed", 0) for row in figures.values())
    total = sum(row["elements"] for row in figures.values())
    first = mine[0].difference
    assert first.found is not None
    assert first.expected is not None
    main = sum(row.get(_COUNTS[code], 0) for row in figures.values())
    numbers = f"{main:,} of {count(total, 'value')}" if main else "values"
    return Finding(
        code,
        "error",
        f"{numbers} {what} when {first.found.dtype} is cast to {first.expected.dtype}: {_worst(mine)}",
        tuple(casting.difference.key for casting in mine),
        {"tensors": figures, "changed": touched, "elements": total},
        tuple(_line(casting) for casting in mine[:3]),
        cause,
        help_,
        step,
        frozenset(casting.difference.mark for casting in mine),
    )


def _figures(casting: Casting) -> dict[str, Any]:
    found, expected, loss = casting.difference.found, casting.difference.expected, casting.loss
    assert found is not None
    assert expected is not None
    row: dict[str, Any] = {"found": found.dtype, "expected": expected.dtype, "elements": found.elements}
    if loss is None:
        return row
    counts = {name: getattr(loss, name) for name in ("changed", "rounded", "overflowed", "underflowed", "truncated", "imaginary")}
    row |= {name: number for name, number in counts.items() if number}
    row |= {"largest_absolute": loss.largest_absolute, "largest_relative": loss.largest_relative}
    if loss.example:
        index, before, after = loss.example
        row["example"] = {"index": list(index), "before": before, "after": after}
    return row


def _worst(mine: list[Casting]) -> str:
    worst = max(mine, key=lambda casting: casting.loss.changed if casting.loss else 0)
    if worst.loss is None or worst.loss.example is None:
        return f"`{worst.difference.key}`"
    index, before, after = worst.loss.example
    place = f"[{', '.join(map(str, index))}]" if index else ""
    return f"`{worst.difference.key}`{place} {' becomes '.join(_apart(before, after))}"


def _apart(before: float | int | str, after: float | int | str) -> tuple[str, str]:
    """Both numbers with the digits that it takes to tell them apart, seven at least."""
    texts = ("", "")
    for digits in (7, 9, 12, 17):
        texts = _number(before, digits), _number(after, digits)
        if texts[0] != texts[1]:
            break
    return texts


def _number(value: float | int | str, digits: int) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.{digits}g}"


def _line(casting: Casting) -> Example:
    loss = casting.loss
    names = ("overflowed", "underflowed", "truncated", "imaginary", "rounded")
    words = [f"{getattr(loss, name):,} {name}" for name in names if loss and getattr(loss, name)]
    if loss and loss.largest_relative:
        words.append(f"largest relative error {loss.largest_relative:.2g}")
    tail = f"  ({', '.join(words)})" if words else ""
    return Example(tensor_text(casting.difference.found) + tail, tensor_text(casting.difference.expected))
