"""Every page does what it says: Python blocks run, console blocks print what they show, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.blocks import Block, blocks_of, namespace, run_console, run_python, same_output

ROOT = Path(__file__).resolve().parents[2]
CODES = ROOT / "docs" / "codes"  # generated; the pages of codes are run by test_pages.py
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks" / "README.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if CODES not in path.parents),
]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def names(path: Path) -> str:
    """Returns the path as the test's name."""
    return str(path.relative_to(ROOT))


def wrong_lines(block: Block) -> list[str]:
    """Returns what a console block shows and the command did not print, with what it printed instead."""
    return [
        line
        for command, shown, printed in run_console(block)
        if not same_output(shown, printed)
        for line in [f"$ {command}", "shown:", *shown, "printed:", *printed]
    ]


@pytest.mark.parametrize("path", PAGES, ids=names)
def test_the_blocks_of_a_page_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An example that does not work costs its reader more than none."""
    monkeypatch.chdir(tmp_path)
    with namespace() as page:
        for block in blocks_of(path.read_text(encoding="utf-8")):
            if block.language == "python" and block.runs:
                run_python(block, page, str(path))
            elif block.language == "console" and block.runs:
                assert "\n".join(wrong_lines(block)) == "", f"{path.name}:{block.line}"


@pytest.mark.parametrize("path", PAGES, ids=names)
def test_a_block_that_does_not_run_says_why(path: Path) -> None:
    """`exec="false"` is for what this machine cannot do, and the reader is told."""
    for block in blocks_of(path.read_text(encoding="utf-8")):
        if not block.runs:
            assert len(block.options.get("reason", "")) > 10, f"{path.name}:{block.line}"


@pytest.mark.parametrize("path", [*PAGES, *sorted(CODES.rglob("*.md"))], ids=names)
def test_links_to_files_lead_to_files(path: Path) -> None:
    """A file that moved leaves its links behind."""
    targets = [target for target in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (path.parent / target).exists()] == []
