"""The rows of the house hold: what stands below never imports what stands above, and descriptions never need torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_import_contract_of_pyproject_is_kept() -> None:
    """One arrow upwards, or one torch in a rule, is how a layered house becomes a heap."""
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
