"""Each page of a code shows its cause, the fix and a look-alike, and all three are run against intact itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.docs.blocks import Block, blocks_of, namespace, run_python

import intact
from intact.core.report import Report
from intact.rules import PAGES, READER_PAGES

HEADINGS = ["Cause", "Example", "Fix", "Look-alike", "Source"]


def companions(code: str) -> set[str]:
    """Returns the codes that the page says come along with its own."""
    return {
        name for line in re.findall(r"^Also: (.+)$", PAGES[code], re.MULTILINE) for name in re.findall(r"[a-z]+/[a-z0-9-]+", line)
    }


def run_section(code: str, heading: str, names: dict[str, Any]) -> None:
    """Runs the Python blocks under one heading."""
    blocks = [block for block in blocks_of(PAGES[code]) if block.language == "python" and block.heading == heading and block.runs]
    assert blocks, f"{code}: nothing to run under {heading}"
    for block in blocks:
        run_python(block, names, f"{code}#{heading}")


ASKED_FOR = {"file/unsealed": intact.verify}
"""Codes that another verb than `check` reports."""


def check_of(names: dict[str, Any], code: str = "") -> Report:
    """Returns intact's report on what a page wrote."""
    if code in ASKED_FOR:
        return ASKED_FOR[code](names["path"])
    if "path" not in names:
        return intact.audit(names["model"])  # a cause that is told before anything is saved
    return intact.check(names["path"], names["model"]) if names.get("model") is not None else intact.check(names["path"])


def shown(names: dict[str, Any], code: str) -> tuple[set[str], set[str], str]:
    """Returns the codes that an example shows, those among them that are more than information, and the text for the user.

    They are those of the report, or of the error where nothing but reading the values tells.
    """
    if "error" in names:
        return {names["error"].code}, {names["error"].code}, str(names["error"])
    report = check_of(names, code)
    counted = {finding.code for finding in report.findings if finding.severity != "info"}
    return {finding.code for finding in report.findings}, counted, str(report)


@pytest.mark.parametrize("code", PAGES)
def test_a_page_has_its_five_headings(code: str) -> None:
    """A person in a hurry knows where to look."""
    assert re.findall(r"^## (.+)$", PAGES[code], re.MULTILINE) == HEADINGS
    title, _, rest = PAGES[code].strip().partition("\n")
    assert title.endswith(".")
    assert rest.startswith("\n")
    assert len(blocks_of(PAGES[code])) >= 3
    assert all(len(block.text.strip()) > 0 for block in blocks_of(PAGES[code]))
    assert intact.explain(code) == f"{code}: {PAGES[code].strip()}\n"


@pytest.mark.parametrize("code", PAGES)
def test_a_page_does_what_it_says(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example has this cause and no other, the fix ends bit for bit at the original, the look-alike is left in peace.

    Where reading itself reports the cause, the fix ends at a file that is intact.
    """
    monkeypatch.chdir(tmp_path)
    with namespace() as names:
        run_section(code, "Example", names)
        codes, counted, text = shown(names, code)
        assert code in codes, text
        assert counted <= {code, *companions(code)}, text
        names.pop("error", None)
        run_section(code, "Fix", names)
        if code in READER_PAGES:
            assert check_of(names, code).verdict == "intact", f"after the fix: {check_of(names, code)}"
        if "path" not in names:
            assert code not in {finding.code for finding in check_of(names, code).findings}, (
                f"after the fix: {check_of(names, code)}"
            )
        if "original" in names:
            assert_equal_bits(names["original"], names["model"].state_dict())
        asked_of = "path" if names.pop("path", None) is not None else "model"
        names.pop("model", None)
        run_section(code, "Look-alike", names)
        assert asked_of in names, "the look-alike writes a checkpoint, or builds a model, of its own"
        silent = check_of(names, code)
        assert code not in {finding.code for finding in silent.findings}, str(silent)


def assert_equal_bits(original: dict[str, Any], loaded: dict[str, Any]) -> None:
    """Asserts that every tensor of the original is in the model with the same dtype, shape and bits."""
    import torch

    assert set(original) <= set(loaded)
    for key, tensor in original.items():
        one, other = tensor.detach().contiguous(), loaded[key].detach().contiguous()
        assert (one.dtype, one.shape) == (other.dtype, other.shape), key
        same = bytes_of(one, torch) == bytes_of(other, torch)
        assert same, f"{key}: other bits than the original"


def bytes_of(tensor: Any, torch: Any) -> bytes:
    """Returns the bytes of a contiguous tensor; equal bits are asked for, so that NaN equals NaN and 0 is not -0."""
    return bytes(tensor.flatten().view(torch.uint8).numpy().tobytes()) if tensor.numel() else b""


def test_the_reader_of_pages_sees_each_section() -> None:
    """The tests above are worth as much as the heading that each block is found under."""
    page = "T.\n\n## Example\n\n```python\nx = 1\n```\n\n## Fix\n\n```python\nx = 2\n```\n"
    found: list[Block] = blocks_of(page)
    assert [(block.heading, block.text) for block in found] == [("Example", "x = 1\n"), ("Fix", "x = 2\n")]
