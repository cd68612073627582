"""`intact verify` and `intact seal`: what they print where, and the exit status that scripts rely on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import blake3
import pytest
import torch
from click.testing import CliRunner, Result

import intact
from intact.cli.main import main

Run = Callable[..., Result]

NET = """
import torch

def net():
    return torch.nn.Linear(4, 4)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in a folder with a sealed file, a checkpoint of torch and a `net.py`."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "INTACT_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    Path("net.py").write_text(NET)
    intact.save(torch.nn.Linear(4, 4), "model.safetensors")
    torch.save(torch.nn.Linear(4, 4).state_dict(), "model.pth")
    return lambda *args: CliRunner().invoke(main, [str(arg) for arg in args])


def spoil(path: str) -> None:
    """Changes a bit in the middle of the last tensor."""
    content = bytearray(Path(path).read_bytes())
    content[-3] ^= 1
    Path(path).write_bytes(content)


def test_verify_says_intact_with_status_0(run: Run) -> None:
    """The plain case has to be plain."""
    done = run("verify", "model.safetensors")
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    assert "intact: " in done.stdout
    assert "XXH3-128, 80 bytes checked" in done.stdout


def test_verify_says_what_is_damaged_with_status_1(run: Run) -> None:
    """A report is the result, and goes where results go."""
    spoil("model.safetensors")
    done = run("verify", "model.safetensors")
    assert (done.exit_code, done.stderr) == (1, "")
    assert "file/checksum-mismatch: `bias`" in done.stdout


def test_verify_of_what_is_not_sealed_is_status_1_and_of_what_is_not_there_2(run: Run) -> None:
    """A pipeline that asks for a proof must not go on without one."""
    torch.save({"a": torch.ones(2)}, "legacy.pth", _use_new_zipfile_serialization=False)
    done = run("verify", "legacy.pth")
    assert done.exit_code == 1
    assert "file/unsealed" in done.stdout
    assert run("verify", "nothing.pth").exit_code == 2


def test_full_prints_the_value_that_expect_takes(run: Run) -> None:
    """Copied from one line into the other."""
    wanted = "blake3:" + blake3.blake3(Path("model.safetensors").read_bytes()).hexdigest()
    done = run("verify", "model.safetensors", "--full")
    assert done.exit_code == 0
    assert done.stdout.rstrip().endswith(f"pinned by {wanted}")
    assert run("verify", "model.safetensors", "--full", "--quiet").stdout.endswith(f"\n{wanted}  model.safetensors\n")
    assert json.loads(run("verify", "model.safetensors", "--full", "--json").stdout)["pinned"] == wanted
    assert run("verify", "model.safetensors", "--expect", wanted).exit_code == 0
    by_hub = "sha256:" + hashlib.sha256(Path("model.safetensors").read_bytes()).hexdigest()
    assert run("verify", "model.safetensors", "--expect", by_hub).exit_code == 0
    other = run("verify", "model.safetensors", "--expect", "blake3:" + "0" * 64)
    assert other.exit_code == 1
    assert "not the checkpoint that was pinned" in other.stdout
    assert run("verify", "model.safetensors", "--expect", "blake3:12").exit_code == 2


def test_a_file_of_another_program_can_be_held_against_a_pinned_value(run: Run) -> None:
    """The value stands elsewhere, so that no seal is needed."""
    value = "sha256:" + hashlib.sha256(Path("model.pth").read_bytes()).hexdigest()
    assert run("verify", "model.pth", "--expect", value).exit_code == 0
    spoil("model.pth")
    assert run("verify", "model.pth", "--expect", value).exit_code == 1


def test_seal_writes_beside_the_checkpoint_and_verify_notices_every_change(run: Run) -> None:
    """The checkpoint itself is not touched."""
    before = Path("model.pth").read_bytes()
    done = run("seal", "model.pth")
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    assert done.stdout.rstrip().endswith("written: model.pth.seal.json")
    assert Path("model.pth").read_bytes() == before
    assert run("verify", "model.pth").exit_code == 0
    spoil("model.pth")
    assert run("verify", "model.pth").exit_code == 1
    assert run("check", "model.pth").exit_code == 1


def test_seal_tells_tools_where_it_wrote(run: Run) -> None:
    """JSON alone on standard output; one line where quiet is asked for."""
    assert json.loads(run("seal", "model.pth", "--json").stdout)["written"] == "model.pth.seal.json"
    assert run("seal", "model.pth", "--quiet").stdout == "written: model.pth.seal.json\n"


def test_seal_records_the_architecture_of_a_model(run: Run) -> None:
    """Who has only the checkpoint learns what it is of."""
    assert run("seal", "model.pth", "--model", "net.py:net").exit_code == 0
    sidecar = json.loads(Path("model.pth.seal.json").read_bytes())
    assert "Linear" in sidecar["architecture"]
    assert "torch" in sidecar["environment"]


def test_seal_of_what_is_no_checkpoint_writes_nothing(run: Run) -> None:
    """A seal would call it intact."""
    Path("page.pth").write_text("<!doctype html><title>404</title>")
    done = run("seal", "page.pth")
    assert done.exit_code == 1
    assert "file/web-page" in done.output
    assert not Path("page.pth.seal.json").exists()
