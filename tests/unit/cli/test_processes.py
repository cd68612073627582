"""The command as a process: pipes that close, interruptions, encodings, terminals, and what it imports."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import zeros

COMMAND = [sys.executable, "-m", "intact"]
SLOW = """
import time, torch
print("building", flush=True)
def build():
    time.sleep(60)
"""


@pytest.fixture
def many_keys(tmp_path: Path) -> Path:
    """A file whose JSON is larger than what a pipe holds."""
    path = tmp_path / "many.safetensors"
    save_file({f"part{i}x.weight": zeros(1) for i in range(3000)}, path)
    return path


def test_a_reader_that_goes_away_is_met_with_silence(many_keys: Path) -> None:
    """`intact inspect … | head -1` is everyday use, and its status is still the checkpoint's."""
    process = subprocess.Popen([*COMMAND, "inspect", str(many_keys), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    with process.stderr as stderr:
        assert stderr.read() == b""
    assert process.wait() == 0


def test_ctrl_c_says_that_nothing_was_changed(tmp_path: Path, many_keys: Path) -> None:
    """The first thought of whoever interrupts a program that writes files."""
    (tmp_path / "slow.py").write_text(SLOW)
    args = ["repair", str(many_keys), "-o", str(tmp_path / "out.pth"), "--model", f"{tmp_path / 'slow.py'}:build"]
    process = subprocess.Popen([*COMMAND, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert b"building" in process.stderr.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip().endswith(b"interrupted; nothing was changed")
    assert b"Traceback" not in err
    assert out == b""
    assert not (tmp_path / "out.pth").exists()


def test_output_that_the_encoding_cannot_hold_is_written_out(tmp_path: Path) -> None:
    """A report must not die of the key it reports."""
    path = tmp_path / "t.safetensors"
    save_file({"重み.weight": zeros(1), "größe": zeros(1)}, path)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*COMMAND, "inspect", str(path), "--tree"], capture_output=True, env=environment, check=False)
    assert done.returncode == 0
    assert rb"\u91cd" in done.stdout
    assert done.stderr == b""


def test_a_terminal_gets_colours_and_its_width(many_keys: Path) -> None:
    """Colours and broken lines are for people."""
    controller, terminal = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"TERM": "xterm", "COLUMNS": "60"}
    process = subprocess.Popen([*COMMAND, "check", str(many_keys)], stdout=terminal, env=environment, close_fds=True)
    os.close(terminal)
    text = _read_all(controller)
    assert process.wait() == 0
    assert b"\x1b[1;32mintact: " in text
    plain = b"".join(part.partition(b"m")[2] if number else part for number, part in enumerate(text.split(b"\x1b[")))
    lines = plain.decode().split("\r\n")
    assert max(len(line) for line in lines if str(many_keys.parent) not in line) <= 60


def _read_all(descriptor: int) -> bytes:
    """Returns what was written to a terminal until its last writer is gone."""
    parts = []
    try:
        while part := os.read(descriptor, 65536):
            parts.append(part)
    except OSError:  # Linux reports the end of a terminal this way
        pass
    finally:
        os.close(descriptor)
    return b"".join(parts)


@pytest.mark.parametrize("args", [["--help"], ["inspect", "FILE"], ["inspect", "FILE", "--json"], ["inspect", "FILE", "--tree"]])
def test_inspect_imports_only_what_it_needs(args: list[str], many_keys: Path) -> None:
    """It answers in a tenth of a second, and torch alone takes ten times that."""
    code = (
        "import sys; from intact.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'rich', 'rapidfuzz', 'importlib.metadata', 'intact.rules', 'safetensors'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    args = [str(many_keys) if arg == "FILE" else arg for arg in args]
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_completion_answers_a_shell() -> None:
    """The script asks the command itself, so commands and codes are never out of date."""
    environment = {**os.environ, "_INTACT_COMPLETE": "bash_complete", "COMP_WORDS": "intact explain arch/key", "COMP_CWORD": "2"}
    done = subprocess.run(COMMAND, capture_output=True, text=True, env=environment, check=False)
    assert "arch/key-prefix" in done.stdout
