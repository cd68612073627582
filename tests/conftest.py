"""What all tests share: the comparison with recorded output, which `--update-golden` writes anew."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores; torch would start threads for all of them in each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

GOLDEN = Path(__file__).parent / "golden"

Golden = Callable[[str, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option that records output in place of comparing with it."""
    parser.addoption("--update-golden", action="store_true", help="write the files of tests/golden anew; review the diff")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares a text with `tests/golden/NAME`, or records it there."""
    update = bool(request.config.getoption("--update-golden"))

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n", encoding="utf-8")
        assert path.exists(), f"{path.name} was never recorded: run pytest --update-golden and read what it writes"
        assert text + "\n" == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture(autouse=True)
def _no_module_of_another_test() -> Iterator[None]:
    """Forgets modules that a test wrote and imported: the next one may write another file of the same name."""
    yield
    folder = str(Path(tempfile.gettempdir()).resolve())
    for name, module in sys.modules.copy().items():
        if str(getattr(module, "__file__", None) or "").startswith(folder):
            del sys.modules[name]
