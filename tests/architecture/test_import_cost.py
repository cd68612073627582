"""What importing loads, in a fresh interpreter: the heavy libraries come only with the work that needs them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "numpy", "rich", "jinja2", "scipy", "pandas", "transformers", "lightning", "rapidfuzz", "importlib.metadata"}


def modules_after(statement: str) -> set[str]:
    """Returns the names of all modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


BARE = modules_after("pass")


def test_importing_the_package_loads_nothing_but_its_front_door() -> None:
    """People import it at the top of programs that never meet a bad checkpoint."""
    ours = {name for name in modules_after("import intact") if name.split(".")[0] == "intact"}
    assert ours == {"intact"}
    assert not (modules_after("import intact") - BARE) & HEAVY


@pytest.mark.parametrize(
    "statement",
    [
        "import intact.api",
        "import intact.core.report, intact.core.rule, intact.errors, intact.plugins",
        "from intact import Report, Finding, Plan, IntactError",
    ],
)
def test_the_verbs_and_records_load_neither_torch_nor_numpy(statement: str) -> None:
    """`intact.inspect` answers on a machine without torch, and fast on one with it."""
    assert not (modules_after(statement) - BARE) & {"torch", "numpy"}


def test_the_command_starts_without_torch() -> None:
    """`intact --help` costs a second and a half with it."""
    assert "torch" not in modules_after("import intact.cli.main")
