"""The commands on real files: what they print where, and the exit status that scripts rely on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import intact
from intact.cli.main import main

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.body = torch.nn.Linear(4, 4)
        self.head = torch.nn.Linear(4, classes)

def broken():
    raise RuntimeError("no GPU here")
"""

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in an empty folder with a `net.py` in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "INTACT_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    Path("net.py").write_text(NET)
    return lambda *args: CliRunner().invoke(main, [str(arg) for arg in args])


def state(classes: int = 3, prefix: str = "") -> dict[str, torch.Tensor]:
    """Returns the state dict of `net.py:Net`."""
    torch.manual_seed(1)
    shapes = {"body.weight": (4, 4), "body.bias": (4,), "head.weight": (classes, 4), "head.bias": (classes,)}
    return {prefix + key: torch.randn(shape) for key, shape in shapes.items()}


def test_a_checkpoint_that_fits_is_intact_with_status_0(run: Run) -> None:
    """The plain case has to be plain."""
    torch.save(state(), "net.pth")
    done = run("check", "net.pth", "--model", "net.py:Net")
    assert done.exit_code == 0, done.output
    assert "intact: it loads exactly as it is" in done.stdout
    assert "all 4 keys of the model load as they are" in done.stdout
    assert done.stderr == ""


def test_any_other_verdict_is_status_1_on_stdout(run: Run) -> None:
    """A report is the result, so it goes where results go."""
    torch.save(state(prefix="module."), "net.pth")
    done = run("check", "net.pth", "--model", "net.py:Net")
    assert done.exit_code == 1
    assert "arch/key-prefix: " in done.stdout
    assert "plan: 1 step, loss-free" in done.stdout


def test_fail_on_moves_the_line(run: Run) -> None:
    """A pipeline that repairs does not stop at what can be repaired."""
    torch.save(state(prefix="module."), "net.pth")
    assert run("check", "net.pth", "--model", "net.py:Net", "--fail-on", "repairable").exit_code == 1
    assert run("check", "net.pth", "--model", "net.py:Net", "--fail-on", "lossy").exit_code == 0


def test_what_is_allowed_does_not_count_and_what_is_not_there_is_said(run: Run) -> None:
    """A permission that nothing needs is probably a mistake in a script."""
    torch.save(state(classes=5), "net.pth")
    assert run("check", "net.pth", "--model", "net.py:Net").exit_code == 1
    assert run("check", "net.pth", "--model", "net.py:Net", "--allow", "resized-head").exit_code == 0
    assert run("check", "net.pth", "--model", "net.py:Net", "--model-args", '{"classes": 5}').exit_code == 0
    done = run("check", "net.pth", "--model", "net.py:Net", "--allow", "dtype/narrowing")
    assert "--allow dtype/narrowing: nothing in this checkpoint needs it" in done.stderr


def test_json_is_the_report_and_nothing_else(run: Run) -> None:
    """`| jq` reads stdout to its end."""
    torch.save(state(prefix="module."), "net.pth")
    done = run("check", "net.pth", "--model", "net.py:Net", "--json")
    report = json.loads(done.stdout)
    assert report["verdict"] == "repairable"
    assert report["findings"][0]["key_count"] == 4
    assert run("check", "net.pth", "--model", "net.py:Net", "--output-format", "json").stdout == done.stdout


def test_quiet_is_one_line(run: Run) -> None:
    """For a loop over a folder of checkpoints."""
    torch.save(state(), "net.pth")
    assert run("check", "net.pth", "-q").stdout == "net.pth: intact: every record has the CRC-32 that was written with it\n"
    assert run("inspect", "net.pth", "-q").stdout.count("\n") == 1


def test_inspect_lists_groups_keys_tree_and_data(run: Run) -> None:
    """Four views of one file."""
    torch.save(state(), "net.pth")
    assert "head.weight" in run("inspect", "net.pth").stdout
    assert "└── head" in run("inspect", "net.pth", "--tree").stdout
    assert "body.bias" in run("inspect", "net.pth", "--all-keys").stdout
    data = json.loads(run("inspect", "net.pth", "--json").stdout)
    assert [tensor["key"] for tensor in data["found"]["tensors"]] == list(state())


def test_a_missing_file_is_status_2_with_the_error_on_stderr(run: Run) -> None:
    """It could not look, which is no verdict."""
    for command in (["inspect"], ["check"], ["check", "--model", "net.py:Net"]):
        done = run(*command, "nothing.pth")
        assert done.exit_code == 2
        assert done.stdout == ""
        assert "nothing.pth" in done.stderr
        assert "Traceback" not in done.output


def test_an_error_with_a_cause_is_status_1_and_data_with_json(run: Run) -> None:
    """A web page in place of a checkpoint is a verdict on the file, and programs read it from stdout."""
    Path("page.pth").write_text("<!DOCTYPE html><html><body>Sign in</body></html>")
    done = run("inspect", "page.pth")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("file/web-page: ")
    data = json.loads(run("inspect", "page.pth", "--json").stdout)
    assert data["error"]["code"] == "file/web-page"
    assert json.loads(run("check", "page.pth", "--json").stdout)["verdict"] in ("damaged", "incompatible")


@pytest.mark.parametrize("spec", ["net.py:Nothing", "nothing.py:Net", "net.py", "net.py:broken", "no_such_module_here:Net"])
def test_a_model_that_cannot_be_built_is_status_2(run: Run, spec: str) -> None:
    """The checkpoint is not to blame."""
    torch.save(state(), "net.pth")
    done = run("check", "net.pth", "--model", spec)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["check", "net.pth", "--model-args", "{}"], "--model-args needs --model"),
        (["check", "net.pth", "--model", "net.py:Net", "--model-args", "{"], "no JSON"),
        (["check", "net.pth", "--model", "net.py:Net", "--model-args", "[1]"], "must be a JSON object"),
        (["check", "net.pth", "--output-format", "pdf"], "there is no format 'pdf'"),
        (["check", "net.pth", "--allow", "arch/resized-hed"], "did you mean arch/resized-head"),
        (["explain", "arch/keyprefix"], "did you mean arch/key-prefix"),
        (["explain", "overflo"], "dtype/overflow"),
        (["explain", "zzzzzzzz"], "lists all codes"),
        (["repair", "net.pth", "--model", "net.py:Net"], "--output"),
        (["repiar"], "repair"),
    ],
)
def test_wrong_usage_is_status_2_and_says_what_is_wrong(run: Run, args: list[str], said: str) -> None:
    """A hint saves a look at the manual."""
    done = run(*args)
    assert done.exit_code == 2
    assert said in done.stderr


def test_repair_writes_a_copy_that_loads_and_says_so(run: Run) -> None:
    """The original stays, the copy is read back."""
    torch.save({"epoch": 3, "model": state(prefix="module.")}, "net.pth")
    before = Path("net.pth").read_bytes()
    done = run("repair", "net.pth", "-o", "fixed.pth", "--model", "net.py:Net")
    assert done.exit_code == 0, done.output
    assert "written: fixed.pth, read back: the model loads it as it is" in done.stdout
    assert Path("net.pth").read_bytes() == before
    assert all(torch.equal(value, state()[key]) for key, value in torch.load("fixed.pth").items())


def test_repair_replaces_nothing_without_force(run: Run) -> None:
    """A forgotten file of the same name may be the only copy of another training."""
    torch.save(state(prefix="module."), "net.pth")
    Path("fixed.pth").write_text("mine")
    done = run("repair", "net.pth", "-o", "fixed.pth", "--model", "net.py:Net")
    assert done.exit_code == 2
    assert Path("fixed.pth").read_text() == "mine"
    assert run("repair", "net.pth", "-o", "fixed.pth", "--model", "net.py:Net", "--force").exit_code == 0


def test_repair_never_replaces_the_original(run: Run) -> None:
    """Not even with --force."""
    torch.save(state(prefix="module."), "net.pth")
    before = Path("net.pth").read_bytes()
    assert run("repair", "net.pth", "-o", "net.pth", "--model", "net.py:Net", "--force").exit_code != 0
    assert Path("net.pth").read_bytes() == before


def test_a_refused_repair_is_status_1_with_the_report(run: Run) -> None:
    """The report says which word is missing."""
    torch.save(state(classes=5), "net.pth")
    done = run("repair", "net.pth", "-o", "fixed.pth", "--model", "net.py:Net")
    assert done.exit_code == 1
    assert "arch/resized-head" in done.stdout
    assert not Path("fixed.pth").exists()
    data = json.loads(run("repair", "net.pth", "-o", "fixed.pth", "--model", "net.py:Net", "--json").stdout)
    assert data["report"]["verdict"] == "lossy"
    allowed = run("repair", "net.pth", "-o", "fixed.pth", "--model", "net.py:Net", "--allow", "arch/resized-head", "--json")
    assert allowed.exit_code == 0, allowed.output
    assert json.loads(allowed.stdout)["verified"] is True


def test_a_dry_run_tells_how_the_repair_would_end(run: Run) -> None:
    """The same status, and nothing written."""
    torch.save(state(classes=5), "net.pth")
    refused = run("repair", "net.pth", "-o", "fixed.pth", "--model", "net.py:Net", "--dry-run")
    assert (refused.exit_code, "--allow arch/resized-head" in refused.stderr) == (1, True)
    fine = run("repair", "net.pth", "-o", "fixed.pth", "--model", "net.py:Net", "--dry-run", "--allow", "resized-head")
    assert (fine.exit_code, "would write fixed.pth" in fine.stderr) == (0, True)
    assert not Path("fixed.pth").exists()


def test_explain_prints_the_page(run: Run) -> None:
    """By the whole code, and by its name where that is enough."""
    whole = run("explain", "arch/key-prefix")
    assert whole.exit_code == 0
    assert whole.stdout.startswith("arch/key-prefix: ")
    assert run("explain", "key-prefix").stdout == whole.stdout
    assert json.loads(run("explain", "key-prefix", "--json").stdout)["verdict"] == "incompatible"
    assert "\x1b[" in run("explain", "key-prefix", "--color", "always").stdout


def test_explain_lists_every_code(run: Run) -> None:
    """Where to look when the name is not remembered."""
    from intact.core.codes import CODES

    text = run("explain").stdout
    assert all(code in text for code in CODES)
    assert set(json.loads(run("explain", "--json").stdout)) == set(CODES)


def test_colours_follow_option_then_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No escape sequence in a pipe unless it was asked for."""
    torch.save(state(), "net.pth")
    assert "\x1b[" not in run("check", "net.pth").stdout
    assert "\x1b[" in run("check", "net.pth", "--color", "always").stdout
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in run("check", "net.pth").stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run("check", "net.pth").stdout
    assert "\x1b[" in run("inspect", "net.pth", "--color", "always").stdout
    assert "\x1b[" not in run("inspect", "net.pth", "--color", "never").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(run: Run, shell: str) -> None:
    """It names the variable that the command answers to."""
    done = run("completion", shell)
    assert done.exit_code == 0
    assert "_INTACT_COMPLETE" in done.stdout


def test_the_version_is_the_package_s(run: Run) -> None:
    """The first question of every bug report."""
    assert run("--version").stdout == f"intact {intact.__version__}\n"


def test_an_unforeseen_error_is_short_unless_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback helps whoever mends intact, and nobody else."""

    def fail(path: str) -> None:
        raise ZeroDivisionError(path)

    monkeypatch.setattr("intact.api.inspect", fail)
    done = run("inspect", "x.pth")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: intact itself failed: ZeroDivisionError: x.pth")
    assert "Traceback" not in done.stderr
    assert "ZeroDivisionError" in json.loads(run("inspect", "x.pth", "--json").stdout)["error"]["message"]
    monkeypatch.setenv("INTACT_DEBUG", "1")
    assert "Traceback" in run("inspect", "x.pth").stderr
