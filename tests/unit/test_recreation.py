"""An environment as files that installers read: an index can answer every line, and no line is of a stranger's making."""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from intact import recreation
from intact.core.environment import Distribution, Environment
from intact.errors import IntactError, MissingDependency
from intact.recreation import command_for, conda_text, kind_of, pylock_text, requirements_text, write_environment

COMMIT = "c" * 40
RECORDED = Environment(
    python=".".join(map(str, sys.version_info[:3])),
    implementation="CPython",
    system="Linux",
    machine="x86_64",
    libc="glibc 2.39",
    torch="2.13.0+cu128",
    cuda="12.8",
    distributions=(
        Distribution("timm", "1.0.9", origin="index"),
        Distribution("torch", "2.13.0+cu128", origin="index"),
        Distribution("ours", "0.1", origin="editable", commit=COMMIT, dirty=True),
        Distribution("theirs", "0.2", origin="vcs", url="https://host.example/them/theirs", commit=COMMIT),
    ),
)


def asked(text: str, prefix: str = "") -> list[str]:
    """Returns the lines that ask for something, without comments."""
    lines = [line for line in text.splitlines() if line.startswith(prefix)]
    return [line[len(prefix) :].strip('"') for line in lines if line.strip() and not line.lstrip().startswith("#")]


def comments(text: str) -> str:
    """Returns all comments."""
    return "\n".join(line for line in text.splitlines() if line.lstrip().startswith("#"))


def test_every_requirement_is_one_that_an_index_can_answer() -> None:
    """`pip install torch==2.13.0+cu128` fails on the common index."""
    text = requirements_text(RECORDED)
    assert asked(text) == ["torch==2.13.0", f"theirs @ git+https://host.example/them/theirs@{COMMIT}", "timm==1.0.9"]
    assert all(Requirement(line) for line in asked(text))
    assert "2.13.0+cu128" in comments(text)


def test_what_cannot_be_installed_from_an_index_is_said_in_a_comment() -> None:
    """Leaving it out without a word would make an environment that lacks the model's own code."""
    said = comments(requirements_text(RECORDED))
    assert f"ours: 0.1 was installed from a folder, commit {COMMIT} with changes on top" in said
    assert "CPython" in said
    assert "CUDA 12.8" in said


@pytest.mark.parametrize("version", ["2.14.0.dev20260101+cu128", "2.13.0a0.dev1", "", "latest", "1 ; x", "9" * 200])
def test_a_version_that_no_index_keeps_is_only_mentioned(version: str) -> None:
    """Nightly builds are taken away after some weeks."""
    text = requirements_text(Environment(distributions=(Distribution("torch", version, origin="index"),)))
    assert asked(text) == []
    assert "torch: " in comments(text)


HOSTILE = (
    Distribution("a\n-e .", "1.0", origin="index"),
    Distribution("--extra", "1.0", origin="index"),
    Distribution("-r", "1.0", origin="index"),
    Distribution("b", "1.0\n--pre", origin="index"),
    Distribution("c", "1.0; import os", origin="index"),
    Distribution("d", "1.0", origin="vcs", url="https://h.example/x\n-e .", commit=COMMIT),
    Distribution("e", "1.0", origin="vcs", url="file:///tmp/x", commit=COMMIT),
    Distribution("f", "1.0", origin="vcs", url="https://h.example/x", commit="main\n-e ."),
    Distribution("g", "1.0\n-e .", origin="vcs", url="https://h.example/x", commit=COMMIT),
    Distribution("h", "1.0\n-e .", origin="folder", commit="x\n-e ."),
    Distribution("i @ https://h.example/i.whl", "1.0", origin="index"),
    Distribution('j"]', '1.0"', origin="index"),
)


@pytest.mark.parametrize("entry", HOSTILE, ids=range(len(HOSTILE)))
def test_a_record_cannot_write_lines_of_its_own(entry: Distribution) -> None:
    """A line of a requirements file can make an installer run anything."""
    hostile = replace(
        RECORDED,
        distributions=(entry,),
        torch="2.13.0\n-e .",
        python="3.11\n-e .",
        system="Linux\n-e .",
        cuda="1\n-e .",
    )
    only = [f"{entry.name} @ git+{entry.url}@{entry.commit}"] if entry.name == "g" else []
    assert asked(requirements_text(hostile)) == only
    expected = ["name: intact", "channels:", "  - conda-forge", "dependencies:", "  - python=3.11", "  - pip"]
    expected += ["  - pip:", f'      - "{only[0]}'] if only else []
    assert [line.rstrip('"') for line in conda_text(hostile).splitlines() if not line.lstrip().startswith("#")] == expected


def test_a_conda_file_takes_python_from_conda_and_the_rest_by_pip() -> None:
    """torch is not published for conda any more."""
    text = conda_text(RECORDED)
    assert f"  - python={sys.version_info[0]}.{sys.version_info[1]}" in text.splitlines()
    assert asked(text, "      - ") == asked(requirements_text(RECORDED))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("requirements.txt", "requirements"),
        ("environment.yml", "conda"),
        ("a.yaml", "conda"),
        ("pylock.toml", "pylock"),
        ("pylock.gpu.toml", "pylock"),
    ],
)
def test_the_kind_follows_from_the_name(name: str, kind: str) -> None:
    """It is by their names that installers know such files."""
    assert kind_of(Path(name)) == kind
    assert name in command_for(Path(name))


@pytest.mark.parametrize("name", ["environment", "lock.toml", "pylock.a.b.toml", "poetry.lock"])
def test_a_name_that_no_installer_reads_is_refused(name: str) -> None:
    """A lock file of another name is one that nobody reads."""
    with pytest.raises(IntactError, match=r"requirements|installer"):
        kind_of(Path(name))


def test_a_command_names_the_path_as_a_shell_takes_it() -> None:
    """A folder with a space in its name is one word."""
    assert command_for(Path("a b/requirements.txt")) == "pip install -r 'a b/requirements.txt'"


def test_a_file_that_exists_stays_as_it_is_unless_it_may_be_replaced(tmp_path: Path) -> None:
    """Somebody may have written it by hand."""
    path = tmp_path / "requirements.txt"
    path.write_text("mine")
    with pytest.raises(IntactError, match="exists"):
        write_environment(RECORDED, path, overwrite=False)
    assert path.read_text() == "mine"
    write_environment(RECORDED, path, overwrite=True)
    assert path.read_text() == requirements_text(RECORDED)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lets pip know one folder with one small wheel in it, and nothing else; uv is not asked."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    files = {
        "small_one/__init__.py": "",
        "small_one-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: small-one\nVersion: 1.0\n",
        "small_one-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}"
        for name, text in files.items()
    ]
    with zipfile.ZipFile(folder / "small_one-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr("small_one-1.0.dist-info/RECORD", "\n".join([*rows, "small_one-1.0.dist-info/RECORD,,", ""]))
    monkeypatch.setattr(recreation, "which", lambda name: None)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


SMALL = replace(
    RECORDED, torch="", distributions=(Distribution("small-one", "1.0+cpu", origin="index"), *RECORDED.distributions[2:])
)


def test_a_lock_has_the_digest_of_every_file_and_the_commit_of_every_repository(index: Path) -> None:
    """That is what a lock is for; `packaging` reads it as PEP 751 says."""
    pylock = pytest.importorskip("packaging.pylock", reason="packaging before 26 does not read lock files")
    toml = pytest.importorskip("tomllib", reason="the standard library reads TOML since 3.11")
    lock = pylock.Pylock.from_dict(toml.loads(pylock_text(SMALL)))
    packages = {str(package.name): package for package in lock.packages}
    assert set(packages) == {"small-one", "theirs"}
    wheel = index / "small_one-1.0-py3-none-any.whl"
    assert packages["small-one"].wheels[0].hashes == {"sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()}
    assert packages["theirs"].vcs.commit_id == COMMIT
    assert "ours: 0.1 was installed from a folder" in comments(pylock_text(SMALL))


def test_a_release_that_is_not_on_the_index_is_told_and_nothing_is_written(index: Path, tmp_path: Path) -> None:
    """Half a lock would install half an environment."""
    wrong = replace(SMALL, distributions=(Distribution("small-one", "2.0", origin="index"),))
    with pytest.raises(IntactError, match="finds no set"):
        write_environment(wrong, tmp_path / "pylock.toml", overwrite=False)
    assert not (tmp_path / "pylock.toml").exists()


def test_pip_does_not_lock_for_another_python(index: Path) -> None:
    """Its lock would hold the files of the wrong one."""
    with pytest.raises(MissingDependency, match=r"3\.4"):
        pylock_text(replace(SMALL, python="3.4.1"))


def test_an_installer_that_cannot_lock_is_named(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment made by uv has no pip in it."""
    monkeypatch.setattr(sys, "executable", "python3-that-is-not-here")
    with pytest.raises(IntactError, match="could not be asked"):
        pylock_text(SMALL)


def test_nothing_to_lock_is_an_error() -> None:
    """An empty lock installs nothing and looks like success."""
    with pytest.raises(IntactError, match="nothing"):
        pylock_text(Environment())


def test_uv_is_asked_where_it_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It can lock for the recorded Python, whichever runs here."""
    monkeypatch.setattr(recreation, "which", lambda name: "/bin/uv")
    command = recreation._locker(replace(SMALL, python="3.10.4"), tmp_path / "in.txt", tmp_path / "pylock.toml")
    assert command[:3] == ["/bin/uv", "pip", "compile"]
    assert command[command.index("--python-version") + 1] == "3.10"
    assert command[command.index("--only-binary") + 1] == ":all:"
