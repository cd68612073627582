"""The circle of a code: in the table, with a rule or a reader that emits it, and with a page that explains it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from intact.core.codes import CODES
from intact.rules import PAGES, READER_PAGES, RULES

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "intact"
FAMILIES = sorted({code.split("/")[0] for code in CODES})
LITERAL = re.compile(rf"""(?<=["'`])(?:{"|".join(FAMILIES)})/[a-z0-9]+(?:-[a-z0-9]+)*(?=["'`])""")


def emitted() -> dict[str, set[str]]:
    """Returns every code that a source file names, with the files that name it; the table itself is left out."""
    named: dict[str, set[str]] = defaultdict(set)
    for path in SRC.rglob("*.py"):
        if path != SRC / "core" / "codes.py":
            for code in LITERAL.findall(path.read_text(encoding="utf-8")):
                named[code].add(str(path.relative_to(SRC)))
    return named


def test_every_code_that_a_source_file_names_is_in_the_table() -> None:
    """A code that is misspelt once is a permanent name for nothing."""
    unknown = {code: files for code, files in emitted().items() if code not in CODES}
    assert not unknown


def test_codes_are_families_and_kebab_names() -> None:
    """Other people's tools, ignore lists and `allow=[…]` name them."""
    assert all(re.fullmatch(r"[a-z]+/[a-z0-9]+(-[a-z0-9]+)*", code) for code in CODES)


def test_every_rule_stands_in_the_file_that_its_code_names() -> None:
    """One cause, one file: who has the code has the place."""
    for rule in RULES:
        family, _, name = rule.code.partition("/")
        assert rule.code in CODES
        assert rule.detect.__module__ == f"intact.rules.{family}.{name.replace('-', '_')}"


def test_a_rule_stands_in_the_table_once_for_each_phase() -> None:
    """Asked twice, it would explain the same differences twice."""
    rows = [(rule.code, rule.phase) for rule in RULES]
    assert len(rows) == len(set(rows))


def test_every_file_of_a_rule_is_in_a_table() -> None:
    """A rule that no row names is never asked, and a page that no row names is never read."""
    files = {
        f"{path.parent.name}/{path.stem.replace('_', '-')}"
        for path in (SRC / "rules").glob("*/*.py")
        if not path.stem.startswith("_")
    }
    assert files == {rule.code for rule in RULES} | set(READER_PAGES)


@pytest.mark.parametrize("path", sorted((SRC / "rules").glob("*/*.py")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_rule_emits_its_own_code_only(path: Path) -> None:
    """A rule that reports another's cause sends the reader to the wrong page."""
    if path.stem != "__init__":
        text = path.read_text(encoding="utf-8")
        code = f"{path.parent.name}/{path.stem.replace('_', '-')}"
        assert re.findall(r'^CODE = "(.+)"$', text, re.MULTILINE) == [code]
        assert set(re.findall(r'(?:Finding\(\s*|code=)["\']([a-z]+/[a-z0-9-]+)["\']', text)) <= {code}


def emitted_by_readers() -> set[str]:
    """Returns every code that a source file other than a rule or the table names."""
    return {code for code, files in emitted().items() if any(not file.startswith("rules/") for file in files)}


def test_every_code_that_anything_emits_has_a_page() -> None:
    """`intact explain` has to answer for whatever a report names."""
    assert emitted_by_readers() <= set(PAGES)
    assert {rule.code for rule in RULES} <= set(PAGES)


def test_every_page_of_the_readers_has_a_reader_that_emits_its_code() -> None:
    """A page that nothing leads to is read by nobody, and says what is not so."""
    assert set(READER_PAGES) <= emitted_by_readers()


def test_a_code_has_one_page() -> None:
    """Where a rule reports it too, the page stands in the file of the rule."""
    assert not set(READER_PAGES) & {rule.code for rule in RULES}
    assert len(PAGES) == len(set(PAGES))
    assert all(PAGES[code].strip() for code in PAGES)


def test_a_code_without_a_page_is_not_among_the_pages() -> None:
    """It is asked for by name, and the answer to an unknown one is a sentence of its own."""
    assert "state/no-such-cause" not in PAGES
    with pytest.raises(KeyError):
        PAGES["state/no-such-cause"]


def test_a_page_of_the_readers_is_loaded_when_it_is_asked_for() -> None:
    """Every check imports the rules, and few people read pages."""
    known = {"intact.rules.file.incomplete_save", "intact.rules.file.missing_shard"}
    loaded = f"{{name for name in sys.modules if name.startswith('intact.rules.file.')}} - {known}"
    code = (
        f"import sys; from intact.rules import PAGES; assert 'file/empty' in PAGES and not {loaded}; "
        f"PAGES['file/empty']; print(*{loaded})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["intact.rules.file.empty"]
