"""Names, sizes and numbers as text shows them, and text from a file made harmless."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intact.renderers import words


@given(st.text(alphabet=st.characters(), max_size=200))
def test_nothing_that_a_terminal_obeys_or_hides_is_left(text: str) -> None:
    """A key may hold an escape sequence that clears the screen and prints a verdict of its own."""
    for shown in (words.clean(text), words.name(text), words.sentence(text)):
        assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"}
        assert not any(
            unicodedata.bidirectional(character) in ("LRO", "RLO", "LRI", "RLI", "FSI", "PDI", "PDF") for character in shown
        )
        shown.encode("utf-8")


@given(st.text(max_size=2000))
def test_a_name_is_bounded(text: str) -> None:
    """One key of a megabyte must not fill the screen."""
    assert len(words.name(text)) <= words.LONGEST_NAME
    assert len(words.sentence(text * 9)) <= words.LONGEST_TEXT


@pytest.mark.parametrize("text", ["layers.0.weight", "größe.重み", "a b", "🤗.w", "c:\\x"])
def test_names_that_do_no_harm_stay_as_they_are(text: str) -> None:
    """People search their code for the key that a report names."""
    assert words.name(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\x1b[2J", "\\x1b[2J"), ("a\nb\t", "a\\nb\\t"), ("\u202e", "\\u202e"), ("\x9b1m", "\\x9b1m"), ("\udcff", "\\udcff")],
)
def test_characters_that_do_harm_are_written_out(text: str, shown: str) -> None:
    """They are evidence, so they are shown and not dropped."""
    assert words.clean(text) == shown


def test_long_names_keep_both_ends() -> None:
    """The end of a key says which tensor it is, the beginning which part of the model."""
    shown = words.name("model." + "deep." * 50 + "weight")
    assert shown.startswith("model.deep.")
    assert shown.endswith(".weight")
    assert "…" in shown


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (46_830_571, "44.7 MiB"),
        (7 * 1024**3, "7.0 GiB"),
        (3 * 1024**4, "3.0 TiB"),
        (5000 * 1024**4, "5,000.0 TiB"),
    ],
)
def test_sizes_have_the_unit_that_fits(size: int, text: str) -> None:
    """`1024.0 KiB` would be a size of its own."""
    assert words.size_text(size) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1 value"),
        (37, "37 values"),
        (999_999, "999,999 values"),
        (11_689_512, "11.7 M values (11,689,512)"),
        (7 * 10**9, "7.0 B values (7,000,000,000)"),
    ],
)
def test_large_numbers_are_rounded_and_exact(number: int, text: str) -> None:
    """11.7 M is what people remember of a model, the exact number is what tells two models apart."""
    assert words.number_text(number, "value") == text


def test_columns_count_wide_and_combining_characters() -> None:
    """Keys in other scripts must not push the shapes out of their column."""
    assert words.cells("重み") == 4
    assert words.cells("e\u0301") == 1
    assert words.padded("重み", 6) == "重み  "


def test_every_verdict_has_its_meaning() -> None:
    """A verdict without words is a riddle."""
    assert set(words.MEANINGS) == set(words.MEANINGS_ALONE)
