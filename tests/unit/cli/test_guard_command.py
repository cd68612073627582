"""`intact guard SCRIPT` is `python SCRIPT`: five programs run as they are, compute the same, and write the same files."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import intact

SCRIPTS = Path(__file__).parents[2] / "guard_scripts"

TOLD = {
    "plain_loop": [],
    "gan": [],
    "trainer_class": [],
    "finetune": ["nothing was loaded: none of the 9 keys", "not loaded, and as before: `3.weight`, `3.bias`"],
}
"""What is said of each; nothing of the healthy ones. Whether two ranks meet while they save is up to chance."""


def begun(folder: Path, *words: str, guarded: bool = True) -> subprocess.Popen[str]:
    """Starts a script, plain or guarded, in a folder of its own."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, *(["-m", "intact", "guard"] if guarded else []), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(intact.__file__).parents[1])}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def run(folder: Path, *words: str, guarded: bool = True) -> tuple[int, str, str]:
    """Returns exit status, stdout and stderr."""
    process = begun(folder, *words, guarded=guarded)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def files_of(folder: Path) -> dict[str, bytes]:
    """Returns what a script left, without seals."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".seal.json")
    }


@pytest.mark.parametrize("name", ["plain_loop", "ddp_spawn", "gan", "trainer_class", "finetune"])
def test_a_script_under_guard_prints_and_writes_what_it_always_did(name: str, tmp_path: Path) -> None:
    """Not one line of it is changed, and not one bit of its results."""
    script = str(SCRIPTS / f"{name}.py")
    both = [begun(tmp_path / how, script, guarded=how == "guarded") for how in ("guarded", "plain")]
    (out, err), (plain_out, plain_err) = (process.communicate(timeout=120) for process in both)
    assert [process.returncode for process in both] == [0, 0], err + plain_err
    assert out == plain_out
    found, expected = files_of(tmp_path / "guarded"), files_of(tmp_path / "plain")
    assert list(found) == list(expected)
    legacy = {key for key in found if "netD_epoch" in key}  # the older layout holds addresses of memory
    assert {key: found[key] for key in found if key not in legacy} == {key: expected[key] for key in found if key not in legacy}
    seals = list((tmp_path / "guarded").rglob("*.seal.json"))
    whole = [Path(str(seal).removesuffix(".seal.json")) for seal in seals if seal.with_name(seal.name[:-10]).exists()]
    assert whole
    for path in whole:
        assert intact.verify(path).verdict == "intact"
        torch.load(path, weights_only=False) if name != "finetune" else None
    if name in TOLD:
        assert err.count("CheckpointWarning") == len(TOLD[name]), err
        assert all(text in err for text in TOLD[name]), err


def test_a_script_resumes_and_refuses_what_was_damaged_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first run writes, the second reads, and the third finds one bit changed."""
    script, path = str(SCRIPTS / "plain_loop.py"), tmp_path / "checkpoint.pth"
    for epochs in ("1", "2"):
        monkeypatch.setattr(sys, "argv", ["plain_loop.py", "--epochs", epochs, "--out", str(path)])
        with intact.guard():
            runpy.run_path(script, run_name="__main__")
    assert "(epoch 1)" in capsys.readouterr().out
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    status, _, err = run(tmp_path, script, "--epochs", "3")
    assert status == 1
    assert "intact.errors.Damaged: file/checksum-mismatch" in err
    assert path.read_bytes() == content


SHOW = """
from __future__ import print_function
import sys, os
print(sys.argv, __name__, __file__ == os.path.abspath(sys.argv[0]), sys.path[0] == os.path.dirname(__file__), __spec__)
import beside
print(sys.modules["__main__"].beside is beside, __annotations__ if "__annotations__" in dir() else None)
def f(x: undefined_name = 1): ...
"""


def test_a_script_finds_what_python_gives_it(tmp_path: Path) -> None:
    """Arguments, name, folder, the modules beside it, and no `from __future__` of ours."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "show.py").write_text(SHOW)
    (tmp_path / "sub" / "beside.py").write_text("")
    words = ("sub/show.py", "-m", "--help", "x", "--", "-q")
    plain, guarded = (run(tmp_path, *words, guarded=guarded) for guarded in (False, True))
    assert guarded[:2] == plain[:2]
    assert guarded[0] == 1, "an annotation that is evaluated"
    assert [line for line in guarded[2].splitlines() if "intact" in line] == []
    assert guarded[2] == plain[2]


@pytest.mark.parametrize(
    ("line", "status"),
    [("import sys; sys.exit(7)", 7), ("raise SystemExit('so be it')", 1), ("import os; os._exit(3)", 3), ("", 0)],
)
def test_the_exit_status_is_that_of_the_script(line: str, status: int, tmp_path: Path) -> None:
    """Schedulers go by it."""
    (tmp_path / "a.py").write_text(line)
    assert run(tmp_path, "a.py") == run(tmp_path, "a.py", guarded=False)
    assert run(tmp_path, "a.py")[0] == status


def test_ctrl_c_reaches_the_script_and_ends_it_as_it_ends_python(tmp_path: Path) -> None:
    """A script may save once more when it is interrupted; what runs at exit runs."""
    lines = ["import atexit, time", "atexit.register(print, 'at exit')", "try:", "    print('ready', flush=True)"]
    (tmp_path / "a.py").write_text("\n".join([*lines, "    time.sleep(60)", "finally:", "    print('saved once more')"]))
    process = begun(tmp_path, "a.py")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert out == "saved once more\nat exit\n"
    assert "KeyboardInterrupt" in err
    assert "nothing was changed" not in err


def test_a_module_is_run_by_its_name(tmp_path: Path) -> None:
    """As `python -m package.train`."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "train.py").write_text("import sys; print(sys.argv[1:], __name__, __package__)")
    assert run(tmp_path, "-m", "package.train", "--lr", "1")[:2] == (0, "['--lr', '1'] __main__ package\n")


def test_a_script_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    """And not a traceback."""
    status, _, err = run(tmp_path, "nothing.py")
    assert status == 2
    assert "there is no script 'nothing.py'" in err
