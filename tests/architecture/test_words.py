"""Words that have no business in the project's files: places of one machine, hosts of registries, unfinished work."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# One letter of each is a class of its own, so that no pattern is found in this file.
PLACES = [
    r"/wor[k]/", r"/roo[t]/", r"/opt/(wheel[s]|pyp[i])", r"/tmp/bas[h]_",
    r"pyp[i]\.org", r"pythonhoste[d]\.org", r"download\.pytorc[h]\.org", r"index-ur[l]", r"find-link[s]", r"trusted-hos[t]",
]  # fmt: skip
UNFINISHED = [r"\bTOD[O]\b", r"\bFIXM[E]\b", r"\bXX[X]\b", r"NotImplementedErro[r]"]


def tracked() -> list[Path]:
    """Returns the text files under version control, new ones that are not ignored included."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("the list of tracked files comes from git, which is not here")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    paths = [ROOT / line for line in listed.splitlines()]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:4096]]


def lines_with(patterns: list[str], paths: list[Path]) -> list[str]:
    """Returns `file:line: text` of every line that a pattern is found in."""
    wanted = re.compile("|".join(patterns))
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if wanted.search(line)
    ]


def test_no_file_names_a_place_of_one_machine_or_a_registry_host() -> None:
    """A clone must install and run wherever it is, from wherever its owner's pip is told to look."""
    assert lines_with(PLACES, tracked()) == []


def test_no_source_file_holds_unfinished_work() -> None:
    """What is not there yet is said in the README, and not hidden in a stub."""
    sources = [path for path in tracked() if path.suffix == ".py" and ROOT / "src" in path.parents]
    assert lines_with(UNFINISHED, sources) == []


@pytest.mark.parametrize("pattern", [*PLACES, *UNFINISHED])
def test_a_pattern_finds_what_it_is_for(pattern: str, tmp_path: Path) -> None:
    """A misspelt pattern passes for ever."""
    plain = re.sub(r"\\b|\\|[\[\]()]", "", pattern).split("|")[0]
    sample = ROOT / "tests" / "architecture" / "test_words.py"
    assert re.search(pattern, f"x = {plain} # y")
    assert not lines_with([pattern], [sample])
