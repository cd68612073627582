"""The reader of Markdown blocks that the other tests of the documentation stand on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.blocks import Block, blocks_of, namespace, run_console, run_python, same_output

PAGE = """# Title

```python
a = 1
```

## Second

```python exec="false" reason="needs a GPU"
b = 2
```
"""


def test_blocks_know_their_language_options_line_and_heading() -> None:
    """A failing block has to be found in its page."""
    first, second = blocks_of(PAGE)
    assert (first.language, first.options, first.text, first.line, first.heading, first.runs) == (
        "python",
        {},
        "a = 1\n",
        3,
        "Title",
        True,
    )
    assert (second.options["reason"], second.line, second.heading, second.runs) == ("needs a GPU", 9, "Second", False)


def test_a_block_that_does_not_end_is_refused() -> None:
    """The rest of the page would silently not be run."""
    with pytest.raises(AssertionError, match="does not end"):
        blocks_of("```python\na = 1\n")


def test_a_shown_ellipsis_stands_for_any_number_of_lines() -> None:
    """A page shows the lines that matter, and each of them must be real."""
    assert same_output(["a", "…", "d"], ["a", "b", "c", "d"])
    assert same_output(["a", "…"], ["a"])
    assert not same_output(["a", "…", "x"], ["a", "b", "d"])
    assert not same_output(["a"], ["a", "b"])


def test_python_blocks_share_names_and_their_classes_can_be_pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that saves a whole model needs its class to be importable while the page runs."""
    monkeypatch.chdir(tmp_path)
    with namespace() as names:
        run_python(Block("python", {"file": "made_by_page.py"}, "class A: pass\n", 1, ""), names, "page.md")
        run_python(Block("python", {}, "import pickle\nb = pickle.loads(pickle.dumps(A()))\n", 5, ""), names, "page.md")
        assert type(names["b"]).__name__ == "A"
    assert (tmp_path / "made_by_page.py").read_text() == "class A: pass\n"


def test_console_blocks_give_what_the_command_printed() -> None:
    """Shown and printed lines come in pairs, one for each command."""
    ((command, shown, printed),) = run_console(Block("console", {}, "$ intact --version\nintact 9.9.9\n", 1, ""))
    assert (command, shown) == ("intact --version", ["intact 9.9.9"])
    assert printed
    assert printed != shown
