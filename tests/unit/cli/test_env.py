"""`intact env` on real files: what it prints where, what it writes, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save_file

from intact.cli import env as command
from intact.cli.main import main
from intact.core.environment import Distribution, Environment
from intact.model.surroundings.environment import capture_environment

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "INTACT_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return lambda *args: CliRunner().invoke(main, ["env", *map(str, args)])


def sealed(recorded: Environment, path: str = "m.safetensors") -> str:
    """Writes a file that keeps this record."""
    save_file({"weight": torch.ones(2)}, path, metadata={"intact.environment": recorded.to_json()})
    return path


def older() -> Environment:
    """Returns this environment with an older torch."""
    return replace(capture_environment(None), torch="2.9.0+cu128", torch_commit="")


def test_the_recorded_environment_stands_beside_this_one(run: Run) -> None:
    """One line each, with what follows."""
    done = run(sealed(older()))
    assert done.exit_code == 0, done.output
    (line,) = (line for line in done.stdout.splitlines() if "  torch  " in line)
    assert line.split()[:6] == ["may", "change", "outputs", "torch", "2.9.0+cu128", str(torch.__version__)]
    assert "1 may change outputs" in done.stdout
    assert run("m.safetensors", "-q").stdout.startswith("m.safetensors: 1 may change outputs, ")


def test_what_is_not_here_and_needed_is_status_1(run: Run) -> None:
    """A script can ask before it starts a job."""
    library = Distribution("no-such-thing-is-installed", "1.0", ("x",), ("x.Net",), "index")
    done = run(sealed(replace(older(), distributions=(library,))))
    assert done.exit_code == 1
    assert "cannot load" in done.stdout


def test_json_is_both_environments_and_every_line(run: Run) -> None:
    """`| jq` reads stdout to its end, also where a file is written."""
    done = run(sealed(older()), "--json", "-o", "requirements.txt")
    data = json.loads(done.stdout)
    assert (data["path"], data["written"]) == ("m.safetensors", "requirements.txt")
    assert data["recorded"]["torch"] == "2.9.0+cu128"
    assert data["lines"][0]["consequence"] == "may-change-outputs"
    assert Path("requirements.txt").exists()
    alone = json.loads(run("--json").stdout)
    assert alone["current"]["torch"] == torch.__version__


@pytest.mark.parametrize("name", ["requirements.txt", "environment.yml"])
def test_a_file_for_an_installer_is_written_with_the_command_that_reads_it(run: Run, name: str) -> None:
    """Kind by name; the build of another platform is left to a comment."""
    done = run(sealed(older()), "-o", name)
    assert done.exit_code == 0, done.output
    assert f"written: {name}, for: " in done.stdout
    assert "torch==2.9.0\n" in Path(name).read_text()
    again = run("m.safetensors", "-o", name)
    assert again.exit_code == 2
    assert "exists" in again.stderr
    assert again.stdout == ""
    assert run("m.safetensors", "-o", name, "--force").exit_code == 0


def test_a_name_that_no_installer_reads_is_status_2(run: Run) -> None:
    """Before anything is printed or written."""
    done = run(sealed(older()), "-o", "environment.json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "pylock.toml" in done.stderr


def test_a_file_without_a_record_is_status_2_and_says_who_writes_one(run: Run) -> None:
    """Nothing can be compared, which is no verdict."""
    torch.save({"weight": torch.ones(2)}, "m.pth")
    done = run("m.pth")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "keeps no record of its environment" in done.stderr
    assert run("nothing.pth").exit_code == 2


def test_a_malformed_record_is_status_2(run: Run) -> None:
    """And no traceback."""
    save_file({"weight": torch.ones(2)}, "m.safetensors", metadata={"intact.environment": "[]"})
    done = run("m.safetensors")
    assert done.exit_code == 2
    assert "malformed" in done.stderr
    assert "Traceback" not in done.output


def test_without_a_file_this_environment_is_shown(run: Run) -> None:
    """It is what the next save will record."""
    done = run()
    assert done.exit_code == 0
    assert str(torch.__version__) in done.stdout
    assert "default dtype" in done.stdout
    assert run("-q").stdout.startswith(f"torch {torch.__version__}, ")
    assert run("-q", "-o", "requirements.txt").exit_code == 0
    assert "torch==" in Path("requirements.txt").read_text()


def test_without_torch_the_machine_is_shown_all_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Describing needs no torch."""
    monkeypatch.setattr(command, "_load_torch", lambda: False)
    done = run()
    assert done.exit_code == 0
    assert "python" in done.stdout
    assert "default dtype" not in done.stdout


def test_a_bug_report_can_be_pasted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch collects is taken as it is; collecting takes seconds, so that it is stood in for here."""
    import torch.utils.collect_env as collecting

    monkeypatch.setattr(collecting, "get_pretty_env_info", lambda: "PyTorch version: as collected")
    done = run("--bug-report")
    assert done.exit_code == 0
    assert done.stdout.startswith("```text\nintact: ")
    assert "PyTorch version: as collected" in done.stdout
    assert run("m.safetensors", "--bug-report").exit_code == 2
