"""Long work shows a bar on a terminal, and nothing anywhere else."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from intact.cli import progress
from intact.cli.progress import Bar, Count
from intact.files.digests import in_shares
from intact.files.progress import is_watched, watched_by, working

RUN = "import sys, intact.cli.progress as p; p.DELAY_S = 0; from intact.cli.main import main; main(sys.argv[1:])"


def on_a_terminal(*arguments: str, stdout: int = subprocess.PIPE) -> tuple[str, str]:
    """Runs the command with a terminal for stderr; returns what came on stdout and on the terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-c", RUN, *arguments]
    with subprocess.Popen(command, stdout=stdout, stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        assert process.stdout is not None
        out = process.stdout.read()
    os.close(ours)
    return out.decode(), seen.decode()


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setattr(progress, "DELAY_S", 0)
    return Console(file=io.StringIO(), force_terminal=True, width=80)


def drawn(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_shares_say_how_far_they_are(console: Console) -> None:
    done: list[int] = []
    bar = Bar(console)
    with watched_by(bar):
        in_shares(list(range(100)), [1 << 20] * 100, done.extend, "reading")
    assert sorted(done) == list(range(100))
    assert "reading" in drawn(console)
    assert "100.0/100.0" in drawn(console)
    assert drawn(console).endswith("\x1b[2K") or "\x1b[2K" in drawn(console)  # and is gone afterwards


def test_work_that_fails_leaves_no_bar(console: Console) -> None:
    bar = Bar(console)
    with pytest.raises(ValueError, match="broken"), watched_by(bar), working("writing", 10) as advance:  # noqa: PT012
        advance(5)
        raise ValueError("broken")
    assert bar._drawn is None
    assert not is_watched()


def test_short_work_draws_nothing() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with watched_by(Bar(console)), working("writing", 10) as advance:
        advance(10)
    assert drawn(console) == ""


def test_files_are_counted_of_how_many(console: Console, tmp_path: Path) -> None:
    for number in range(130):
        (tmp_path / f"{number}.txt").write_text("no checkpoint")
    seen = Count([str(tmp_path)], console)
    for _ in range(130):
        seen("3 unsafe")
    seen.hide()
    assert "3 unsafe" in drawn(console)
    assert "files" in drawn(console)


@pytest.mark.parametrize("arguments", [["inspect", "--stats"], ["diff"], ["verify"], ["check"]])
def test_a_terminal_sees_it_and_a_pipe_does_not(arguments: list[str], tmp_path: Path) -> None:
    path = str(tmp_path / "m.safetensors")
    save_file({f"w.{n}": torch.randn(512, 1024) for n in range(4)}, path)
    files = [path, path] if arguments[0] == "diff" else [path]
    out, seen = on_a_terminal(*arguments, *files)
    assert ("━" in seen) == (arguments[0] != "verify")  # nothing to hold it against
    assert "━" not in out
    plain = subprocess.run([sys.executable, "-c", RUN, *arguments, *files], capture_output=True, text=True, check=False)
    assert plain.stderr == ""
    assert plain.stdout == out
