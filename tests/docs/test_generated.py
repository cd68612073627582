"""What is generated is what would be generated now."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from intact.core.codes import CODES

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("tool", ["tools/generate_docs.py", "benchmarks/make_readme.py"])
def test_generated_files_are_up_to_date(tool: str) -> None:
    """A page that is edited by hand, or a rule whose page was not written out, is told here."""
    done = subprocess.run([sys.executable, tool, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run `python {tool}`\n{done.stdout}{done.stderr}"


def test_the_list_of_codes_names_every_code_once() -> None:
    """It is where other people's tools look a name up."""
    text = (ROOT / "docs" / "codes" / "README.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith(("| `", "| ["))]
    assert len(rows) == len(CODES)
    assert all(sum(f"{code}`" in row or f"[{code}]" in row for row in rows) == 1 for code in CODES)


def test_every_code_that_a_page_names_is_there() -> None:
    """Somebody will look it up."""
    families = "|".join(sorted({code.partition("/")[0] for code in CODES}))
    named = re.compile(rf"`((?:{families})/[a-z0-9-]+)`")
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    unknown = {
        (page.name, code) for page in pages for code in named.findall(page.read_text(encoding="utf-8")) if code not in CODES
    }
    assert unknown == set()
