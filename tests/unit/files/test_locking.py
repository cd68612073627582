"""One writer at a time: told who it is, and never stopped by one that is dead."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from intact.errors import IntactError
from intact.files.locking import only_writer, stem_of

HOLDER = """
import sys
from pathlib import Path
from intact.files.atomic import drafted, writing
with writing(Path(sys.argv[1])), drafted(Path(sys.argv[1])) as draft:
    draft.write_bytes(b"half")
    print(draft.name, flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(target: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that is saving to a path, and the name of its draft."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    try:
        yield holder, holder.stdout.readline().strip()
    finally:
        holder.kill()
        holder.communicate()


def refused(target: Path) -> IntactError:
    """The error of a writer that came second."""
    with pytest.raises(IntactError) as caught, only_writer(target):
        pass
    assert caught.value.code == "file/concurrent-writes"
    return caught.value


def test_the_second_writer_is_told_who_the_first_is_and_clears_up_when_it_was_killed(tmp_path: Path) -> None:
    """Two ranks of one run, of which one is killed."""
    target = tmp_path / "x"
    with another_process(target) as (holder, draft):
        assert refused(target).evidence == {"process": holder.pid}
        assert (tmp_path / draft).read_bytes() == b"half"
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert {path.name for path in tmp_path.iterdir()} == {draft, ".x.lock"}
        with only_writer(target):
            assert [path.name for path in tmp_path.iterdir()] == [".x.lock"]
    assert list(tmp_path.iterdir()) == []


def test_threads_of_one_process_keep_each_other_out(tmp_path: Path) -> None:
    """A background save and one at the end of an epoch."""
    inside, most, told = 0, 0, 0
    guard = threading.Lock()

    def save() -> None:
        nonlocal inside, most, told
        for _ in range(50):
            try:
                with only_writer(tmp_path / "x"):
                    with guard:
                        inside += 1
                        most = max(most, inside)
                    with guard:
                        inside -= 1
            except IntactError:  # noqa: PERF203 - each attempt counts for itself
                told += 1

    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert told < 200
    assert list(tmp_path.iterdir()) == []


def test_the_lock_goes_with_an_error_or_ctrl_c(tmp_path: Path) -> None:
    """The next save of the same process must not be told that it is saving already."""
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error), only_writer(tmp_path / "x"):
            raise error
    with only_writer(tmp_path / "x"):
        pass


def test_a_lock_of_another_user_that_may_only_be_read_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody of the same group was killed while saving into a shared folder."""
    (tmp_path / ".x.lock").touch()
    opened = os.open

    def guarded(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith(".lock") and flags & (os.O_RDWR | os.O_CREAT):
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", guarded)
    with only_writer(tmp_path / "x"):
        refused(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """In a folder that others may write, it could lead to any file of the user's."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".x.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError), only_writer(tmp_path / "x"):
        pass
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_without_locks_of_the_system_writing_goes_on_and_drafts_of_others_stay(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows then whether the writer of a draft is alive."""
    import fcntl

    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    draft = tmp_path / ".x.0123456789ab.tmp"
    draft.touch()
    with only_writer(tmp_path / "x"):
        assert draft.exists()
    assert list(tmp_path.iterdir()) == [draft]


def test_only_drafts_of_the_same_target_are_cleared(tmp_path: Path) -> None:
    """Its folder is full of other people's files."""
    others = [".y.0123456789ab.tmp", ".x.0123456789ab", ".x.0123456789AB.tmp", "x.0123456789ab.tmp", ".xx.0123456789ab.tmp"]
    for name in (*others, ".x.0123456789ab.tmp"):
        (tmp_path / name).touch()
    (tmp_path / ".x.aaaaaaaaaaaa.tmp").mkdir()
    (tmp_path / ".x.aaaaaaaaaaaa.tmp" / "file").touch()
    with only_writer(tmp_path / "x"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == set(others)


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "模" * 85, "🙂" * 63])
def test_the_longest_names_have_drafts_and_locks_too(name: str, tmp_path: Path) -> None:
    """A file system counts bytes, and people write in all scripts."""
    target = tmp_path / name
    target.touch()
    with only_writer(target):
        (tmp_path / f"{stem_of(target)}0123456789ab.tmp").touch()
        refused(target)
    with only_writer(target):
        assert len(list(tmp_path.iterdir())) == 2


def test_long_names_with_one_begin_are_not_taken_for_one_another(tmp_path: Path) -> None:
    """Names of experiments differ at their ends."""
    with only_writer(tmp_path / ("x" * 230 + "1")), only_writer(tmp_path / ("x" * 230 + "2")):
        pass
