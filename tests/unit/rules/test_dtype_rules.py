"""What the rules of dtype/ say of casts whose figures are given, and how the figures are put into words."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.rules.hands import codes, held, loss, only, said_by, told, wanted

from intact.core.description import Description
from intact.core.finding import Finding
from intact.core.rule import CastLoss
from intact.repairs.cast import Cast
from intact.repairs.place import Place
from intact.rules import RULES

BY_CODE = {rule.code: rule for rule in RULES}
SHAPES = {"fc.weight": (2, 2)}


def cast(found: str, expected: str, *, buffer: bool = False, **more: Any) -> Finding:
    """Returns the one finding on a tensor of four elements that is cast."""
    return only(held(SHAPES, dtype=found), wanted(SHAPES, dtype=expected, buffers=SHAPES if buffer else ()), **more)


@pytest.mark.parametrize(
    ("found", "expected", "counts", "code"),
    [
        ("float32", "float16", {"changed": 1, "rounded": 1}, "dtype/narrowing"),
        ("float32", "float16", {"changed": 2, "rounded": 1, "underflowed": 1}, "dtype/underflow"),
        ("float32", "float16", {"changed": 3, "rounded": 1, "underflowed": 1, "overflowed": 1}, "dtype/overflow"),
        ("complex64", "float32", {"changed": 1, "imaginary": 1}, "dtype/complex-to-real"),
        ("complex64", "float16", {"changed": 2, "imaginary": 1, "overflowed": 1}, "dtype/complex-to-real"),
        ("float32", "int64", {"changed": 1, "truncated": 1}, "dtype/int-float"),
        ("int64", "float32", {"changed": 1, "rounded": 1}, "dtype/int-float"),
        ("int64", "int32", {"changed": 1, "overflowed": 1}, "dtype/overflow"),
        ("float32", "float16", {}, "dtype/widening"),
        ("int64", "float16", {}, "dtype/widening"),
    ],
)
def test_a_tensor_comes_under_the_gravest_loss_that_it_suffers(
    found: str, expected: str, counts: dict[str, int], code: str
) -> None:
    """One tensor, one cause: a value that becomes infinite matters more than one that is rounded."""
    assert cast(found, expected, measure=loss(found, **counts)).code == code


@pytest.mark.parametrize(
    ("found", "expected"), [("float16", "float32"), ("int32", "int64"), ("bool", "float32"), ("uint8", "int16")]
)
def test_what_the_dtypes_settle_is_not_measured(found: str, expected: str) -> None:
    """Reading ten gigabytes to learn that float32 holds every float16 would be a waste."""

    def never(source: str, dtype: str) -> CastLoss | None:
        raise AssertionError("measured")

    finding = cast(found, expected, measure=never)
    assert (finding.code, finding.severity) == ("dtype/widening", "info")
    assert isinstance(finding.step, Cast)
    assert finding.step.lossless


@pytest.mark.parametrize(
    ("found", "expected", "code"),
    [
        ("float32", "float16", "dtype/narrowing"),
        ("complex64", "float32", "dtype/complex-to-real"),
        ("float32", "int8", "dtype/int-float"),
    ],
)
def test_what_cannot_be_measured_is_never_called_exact(found: str, expected: str, code: str) -> None:
    """Unreadable bytes are no proof that nothing is lost."""
    finding = cast(found, expected)
    assert (finding.code, finding.severity) == (code, "error")
    assert finding.step is not None
    assert not finding.step.lossless


@pytest.mark.parametrize("code", [code for code in BY_CODE if code.startswith("dtype/")])
@pytest.mark.parametrize("dtype", ["float32", "int64", "complex64"])
def test_equal_dtypes_are_nobodys_business(code: str, dtype: str) -> None:
    """The look-alike of every cast is no cast."""
    found, expected = held(SHAPES, dtype=dtype), wanted(SHAPES, dtype=dtype)
    assert said_by(BY_CODE[code], found, expected, measure=loss(changed=4, overflowed=4)) == []


def test_each_tensor_of_a_mixed_file_comes_under_its_own_cause() -> None:
    """Three losses of three kinds are three findings, and each names its own keys."""
    found = held(dict.fromkeys(("a.weight", "b.weight", "c.weight"), (2, 2)))
    expected = wanted(dict.fromkeys(found.tensors, (2, 2)), dtype="float16")
    figures = {
        "a.weight": {"changed": 1, "overflowed": 1},
        "b.weight": {"changed": 1, "underflowed": 1},
        "c.weight": {"changed": 1, "rounded": 1},
    }
    diagnosis = told(found, expected, measure=lambda key, dtype: loss("float32", **figures[key])(key, dtype))
    assert {f.code: f.keys for f in diagnosis.findings} == {
        "dtype/overflow": ("a.weight",), "dtype/underflow": ("b.weight",), "dtype/narrowing": ("c.weight",)
    }  # fmt: skip
    assert set(diagnosis.plan.lossy_codes) == {"dtype/overflow", "dtype/underflow", "dtype/narrowing"}


# buffers that may take the file's dtype


def test_a_buffer_takes_the_dtype_of_the_files_integers() -> None:
    """Integers that lose digits are never meant."""
    finding = cast("int64", "float32", buffer=True, measure=loss("int64", changed=1, rounded=1))
    assert isinstance(finding.step, Place)
    assert finding.step.lossless


def test_a_parameter_never_changes_its_dtype() -> None:
    """The optimizer and the arithmetic of the layer rely on it."""
    finding = cast("int64", "float32", measure=loss("int64", changed=1, rounded=1))
    assert isinstance(finding.step, Cast)
    assert not finding.step.lossless


@pytest.mark.parametrize(("equal", "step"), [(True, Place), (False, Cast)])
def test_a_floating_buffer_keeps_the_files_dtype_only_where_the_model_was_cast_as_a_whole(equal: bool, step: type) -> None:
    """A buffer that holds the very rounding of the file's values was rounded by accident; another one by choice."""
    figures = loss(changed=1, rounded=1)
    finding = cast("float32", "bfloat16", buffer=True, measure=figures, same_values=lambda source, dtype, key: equal)
    assert finding.code == "dtype/narrowing"
    assert isinstance(finding.step, step)


# words


def _headline(before: float | int | str, after: float | int | str, found: str = "float32", expected: str = "float16") -> str:
    return cast(found, expected, measure=loss(changed=1, rounded=1, example=((0, 1), before, after))).headline


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (7.047, 7.0625, "7.047 becomes 7.0625"),
        (70000.0, float("inf"), "70000 becomes inf"),
        (72114982, 72114984.0, "72114982 becomes 72114984"),
        (0.1, 0.10000000149011612, "0.1 becomes 0.100000001"),
        (1e30, 9.9e29, "1e+30 becomes 9.9e+29"),
    ],
)
def test_a_headline_shows_the_digits_that_change(before: float, after: float, words: str) -> None:
    """`0.1 becomes 0.1` would say that nothing happens."""
    assert _headline(before, after).endswith(f"`fc.weight`[0, 1] {words}")


def test_a_headline_counts_what_changes_among_all_values() -> None:
    """One in four billion and one in two are different news."""
    assert _headline(1.5, 1.0).startswith("1 of 4 values")


def test_evidence_holds_the_figures_of_each_tensor() -> None:
    """Tools read the numbers, not the sentence."""
    finding = cast("float32", "float16", measure=loss(changed=2, rounded=1, underflowed=1, largest_relative=1.0))
    row = finding.evidence["tensors"]["fc.weight"]
    assert (row["changed"], row["rounded"], row["underflowed"], row["elements"]) == (2, 1, 1, 4)
    assert "overflowed" not in row


def test_casts_come_after_what_the_names_say() -> None:
    """Wrapped and in half precision: the prefix is taken away before dtypes are compared."""
    found = held({"module.fc.weight": (2, 2), "module.fc.bias": (2,)}, dtype="float16")
    assert codes(found, wanted({"fc.weight": (2, 2), "fc.bias": (2,)})) == ["arch/key-prefix", "dtype/widening"]


def test_without_a_model_no_cast_is_spoken_of() -> None:
    """A file alone is in its own dtype."""
    found = held(SHAPES, dtype="float16")
    assert not told(found, Description(), has_model=False).findings
