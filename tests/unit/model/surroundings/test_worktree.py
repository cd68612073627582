"""The git work tree that code lies in: real repositories, made by git itself."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from intact.model.surroundings import worktree
from intact.model.surroundings.worktree import state_of

Git = Callable[..., str]

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """Runs git in a new repository with one committed file, whatever the settings of the user are."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "nothing"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    root = tmp_path / "repository"
    root.mkdir()

    def run(*words: str) -> str:
        named = ["git", "-c", "user.name=n", "-c", "user.email=e@x", "-c", "init.defaultBranch=main"]
        return subprocess.run([*named, *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    (root / "net.py").write_text("a = 1\n")
    (root / ".gitignore").write_text("kept_out.py\n")
    run("init", "--quiet")
    run("add", ".")
    run("commit", "--quiet", "-m", "first")
    return run


def at(tmp_path: Path, *names: str) -> tuple[Path, ...]:
    """Returns paths in the repository."""
    return tuple(tmp_path / "repository" / name for name in names)


@pytest.fixture(autouse=True)
def _nothing_kept() -> None:
    """Forgets the answers of other tests."""
    state_of.cache_clear()


def test_the_commit_is_the_one_that_is_checked_out(git: Git, tmp_path: Path) -> None:
    """A checkpoint leads back to the code that made it."""
    assert state_of(at(tmp_path, "net.py")) == (git("rev-parse", "HEAD"), False)


def test_packed_references_and_a_detached_head_are_understood(git: Git, tmp_path: Path) -> None:
    """`git gc` packs references, and CI checks out commits."""
    commit = git("rev-parse", "HEAD")
    git("pack-refs", "--all")
    assert not (tmp_path / "repository/.git/refs/heads/main").exists()
    assert state_of(at(tmp_path, "net.py"))[0] == commit
    git("checkout", "--quiet", "--detach")
    state_of.cache_clear()
    assert state_of(at(tmp_path, "net.py"))[0] == commit


def test_a_second_work_tree_has_its_own_commit(git: Git, tmp_path: Path) -> None:
    """There `.git` is a file that says where the repository is."""
    git("worktree", "add", "--quiet", "-b", "other", str(tmp_path / "second"))
    first = git("rev-parse", "HEAD")
    (tmp_path / "repository/net.py").write_text("a = 2\n")
    git("commit", "--quiet", "-am", "second")
    assert state_of((tmp_path / "second/net.py",)) == (first, False)


@pytest.mark.parametrize("name", ["net.py", "new.py", "kept_out.py"])
def test_a_file_that_the_commit_does_not_hold_as_it_is_differs(git: Git, tmp_path: Path, name: str) -> None:
    """Changed, new or ignored: in none of these cases does the commit lead to the code."""
    (tmp_path / "repository" / name).write_text("a = 3\n")
    assert state_of(at(tmp_path, name))[1] is True


def test_other_files_of_the_work_tree_do_not_count(git: Git, tmp_path: Path) -> None:
    """A notebook beside the model is no change of the model."""
    (tmp_path / "repository/notes.ipynb").write_text("{}")
    assert state_of(at(tmp_path, "net.py"))[1] is False
    assert state_of((tmp_path / "repository",))[1] is False


def test_a_folder_differs_where_a_file_that_git_keeps_does(git: Git, tmp_path: Path) -> None:
    """A package that is used from its folder is asked after as a whole."""
    (tmp_path / "repository/net.py").write_text("a = 4\n")
    assert state_of((tmp_path / "repository",))[1] is True


def test_without_git_the_commit_is_known_and_the_rest_is_not(git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not known is not the same as unchanged."""
    commit = git("rev-parse", "HEAD")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert state_of(at(tmp_path, "net.py")) == (commit, None)


def test_git_that_does_not_answer_in_time_is_not_waited_for(git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save does not wait for a repository on a slow disk."""
    monkeypatch.setattr(worktree, "PATIENCE_S", 1e-6)
    assert state_of(at(tmp_path, "net.py"))[1] is None


def test_a_file_outside_of_any_work_tree_has_no_commit(tmp_path: Path) -> None:
    """Most scripts start that way."""
    (tmp_path / "net.py").write_text("")
    assert state_of((tmp_path / "net.py",)) == ("", None)
    assert state_of(()) == ("", None)


def test_a_broken_repository_is_no_error(git: Git, tmp_path: Path) -> None:
    """A save does not fail because of git."""
    (tmp_path / "repository/.git/HEAD").write_text("ref: refs/heads/nowhere\n")
    assert state_of(at(tmp_path, "net.py")) == ("", None)
    shutil.rmtree(tmp_path / "repository/.git")
    (tmp_path / "repository/.git").write_bytes(b"\xff\xfe")
    state_of.cache_clear()
    assert state_of(at(tmp_path, "net.py")) == ("", None)
