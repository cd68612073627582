"""Saves over saves: what belongs to the old checkpoint goes, what belongs to nobody we know stays."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import intact
from intact.containers import sealed
from intact.containers.sealed_writing import split
from intact.files import streaming

NAME = "model.safetensors"
INDEX = "model.safetensors.index.json"


def model(value: float = 0.0) -> nn.Module:
    """A small model whose weights all have one value."""
    made = nn.Sequential(*(nn.Linear(16, 16) for _ in range(3)))
    for parameter in made.parameters():
        nn.init.constant_(parameter, value)
    return made


def save(folder: Path, value: float, *, in_set: bool = False) -> None:
    """Saves a model as a file, or as a set of three shards."""
    intact.save(model(value), folder / NAME, max_shard_bytes=1_200 if in_set else None)


def value_at(path: Path) -> float:
    """The value of all weights of the checkpoint at a path, which must be whole."""
    assert intact.verify(path).verdict == "intact"
    (value,) = {float(number) for tensor in intact.read(path).values() for number in tensor.unique()}
    return value


def names(folder: Path) -> set[str]:
    """What stands in a folder."""
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("new", [False, True])
def test_a_save_takes_the_place_of_the_old_one_and_leaves_nothing_of_it(old: bool, new: bool, tmp_path: Path) -> None:
    """A file over a set, a set over a file, and each over its like."""
    save(tmp_path, 1.0, in_set=old)
    save(tmp_path, 2.0, in_set=new)
    assert value_at(tmp_path / NAME) == value_at(tmp_path) == 2.0
    assert len(names(tmp_path)) == (4 if new else 1)


@pytest.mark.parametrize("in_set", [False, True])
def test_without_overwriting_what_stands_there_stays(in_set: bool, tmp_path: Path) -> None:
    """Neither a file nor a set is replaced, whichever the new one would be."""
    for old in (False, True):
        folder = tmp_path / str(old)
        save(folder, 1.0, in_set=old)
        with pytest.raises(intact.IntactError, match="exists already"):
            intact.save(model(2.0), folder / NAME, max_shard_bytes=1_200 if in_set else None, overwrite=False)
        assert value_at(folder / NAME) == 1.0


@pytest.mark.parametrize("in_set", [False, True])
def test_files_that_an_index_of_somebody_else_names_are_not_removed(in_set: bool, tmp_path: Path) -> None:
    """An index is text: it may name the configuration, a folder, or a file elsewhere, and a save would have removed them."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x-00001-of-00002.safetensors").touch()
    (tmp_path / "other-00001-of-00001.bin").touch()
    save_file({"a": torch.zeros(1)}, tmp_path / "model-00001-of-00001.safetensors")
    home = [
        "config.json",
        "data",
        "data/x-00001-of-00002.safetensors",
        "other-00001-of-00001.bin",
        "model-00001-of-00001.safetensors",
    ]
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {str(number): name for number, name in enumerate(home)}}))
    save(tmp_path, 2.0, in_set=in_set)
    assert value_at(tmp_path / NAME) == 2.0
    assert names(tmp_path) >= {"config.json", "data", "other-00001-of-00001.bin"}
    assert (tmp_path / "data" / "x-00001-of-00002.safetensors").exists()
    assert "model-00001-of-00001.safetensors" not in names(tmp_path)  # a shard of the checkpoint that was replaced


def test_shards_of_dead_saves_go_with_the_next_save_and_files_of_others_stay(tmp_path: Path) -> None:
    """Somebody may name a set by twelve digits of a commit."""
    save(tmp_path, 1.0, in_set=True)
    (tmp_path / INDEX).unlink()  # it was killed before the index was there
    dead = names(tmp_path)
    theirs = "model-0123456789ab-00001-of-00002.safetensors"
    save_file({"a": torch.zeros(1)}, tmp_path / theirs)
    (tmp_path / "model-aaaaaaaaaaaa-00001-of-00002.safetensors").write_bytes(b"no checkpoint at all")
    shutil.copy(tmp_path / min(dead), tmp_path / "model-bbbbbbbbbbbb-00001-of-00003.safetensors")  # of no save of that name
    save(tmp_path, 2.0)
    assert names(tmp_path) == {
        NAME,
        theirs,
        "model-aaaaaaaaaaaa-00001-of-00002.safetensors",
        "model-bbbbbbbbbbbb-00001-of-00003.safetensors",
    }


def test_shards_under_an_index_that_makes_no_sense_are_kept(tmp_path: Path) -> None:
    """The index was damaged, and what is left of the set may be all that somebody has, should this save fail."""
    save(tmp_path, 1.0, in_set=True)
    shards = names(tmp_path) - {INDEX}
    (tmp_path / INDEX).write_text("{")
    save(tmp_path, 2.0)
    assert names(tmp_path) == {NAME, *shards}
    save(tmp_path, 3.0)  # no index names them any more
    assert names(tmp_path) == {NAME}


def test_an_index_that_cannot_be_read_stops_the_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which files belong to the old checkpoint is not known, so that it could not be replaced as a whole."""
    save(tmp_path, 1.0, in_set=True)
    before = names(tmp_path)
    opened = os.open

    def failing(path: str | Path, *more: int, **named: int) -> int:
        if str(path).endswith("index.json"):
            raise OSError(errno.EIO, "Input/output error")
        return opened(path, *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing)
        with pytest.raises(intact.IntactError, match="Input/output error"):
            save(tmp_path, 2.0)
    assert names(tmp_path) == before
    assert value_at(tmp_path) == 1.0


def failing_write(number: int, error: BaseException) -> Callable[[int, memoryview], int]:
    """A write of the system that fails at one of its calls."""
    write, calls = os.write, 0

    def counted(descriptor: int, content: memoryview) -> int:
        nonlocal calls
        calls += 1
        if calls == number:
            raise error
        return write(descriptor, content)

    return counted


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=["full", "ctrl-c"])
def test_a_save_that_fails_leaves_the_old_checkpoint_alone(
    error: BaseException, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each write of each shard, of its header and of the index."""
    save(tmp_path, 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing_write(number, error))
        with pytest.raises(intact.IntactError if isinstance(error, OSError) else KeyboardInterrupt):
            save(tmp_path, 2.0, in_set=True)
    assert names(tmp_path) == {NAME}
    assert value_at(tmp_path) == 1.0


LIMITED = """
import resource, sys
import intact, torch
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    intact.save(torch.nn.Linear(200, 200), sys.argv[1])
except intact.IntactError as error:
    print(error)
"""


def test_a_file_larger_than_the_system_allows_is_told(tmp_path: Path) -> None:
    """A quota ends a save as an error that names the path, and not the process by a signal."""
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path / NAME)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "File too large" in done.stdout
    assert str(tmp_path / NAME) in done.stdout
    assert names(tmp_path) == set()


def test_threads_that_save_to_one_path_leave_one_whole_checkpoint(tmp_path: Path) -> None:
    """The one that comes second is told so, and writes nothing."""
    errors: list[intact.IntactError] = []
    save(tmp_path, 0.0)

    def often(value: float) -> None:
        for number in range(6):
            try:
                save(tmp_path, value, in_set=number % 2 == 0)
            except intact.IntactError as error:  # noqa: PERF203 - each attempt counts for itself
                errors.append(error)

    threads = [threading.Thread(target=often, args=(float(number),)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {error.code for error in errors} <= {"file/concurrent-writes"}
    assert value_at(tmp_path / NAME) == value_at(tmp_path) in (1.0, 2.0, 3.0)
    assert len(names(tmp_path)) in (1, 4)


def test_a_link_is_replaced_and_what_it_led_to_stays(tmp_path: Path) -> None:
    """`latest.safetensors` that leads to a step must not change that step."""
    (tmp_path / "a").mkdir()
    save(tmp_path / "a", 1.0)
    (tmp_path / NAME).symlink_to("a/" + NAME)
    save(tmp_path, 2.0)
    assert (value_at(tmp_path / "a"), value_at(tmp_path / NAME)) == (1.0, 2.0)
    assert not (tmp_path / NAME).is_symlink()


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_modes_of_all_files_follow_the_umask(mask: int, tmp_path: Path) -> None:
    """A colleague must be able to read the shards as well as the index."""
    before = os.umask(mask)
    try:
        intact.save(model(), tmp_path / "a.safetensors")
        intact.save(model(), tmp_path / "b.safetensors", max_shard_bytes=1_200)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o666 & ~mask}


def test_a_header_that_no_reader_accepts_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference stops at 100 MB; the limit is lowered here, because such a model takes a minute to make."""
    save(tmp_path, 1.0)
    monkeypatch.setattr(sealed, "HEADER_LIMIT_BYTES", 2_000)
    with pytest.raises(intact.IntactError, match="readers of the format accept 2,000"):
        save(tmp_path, 2.0)
    monkeypatch.undo()
    assert names(tmp_path) == {NAME}
    assert value_at(tmp_path) == 1.0


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("make", ["plain", "transposed", "strided", "expanded", "conjugated", "negated", "half"])
def test_every_way_in_which_a_tensor_can_lie_in_memory_is_written_in_order(
    make: str, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file holds elements in C order, whatever the strides and lazy flags were."""
    monkeypatch.setattr(streaming, "THREADS", threads)
    torch.manual_seed(0)
    plain = torch.randn(300, 500, dtype=torch.complex64)
    tensor = {
        "plain": plain.real.contiguous(),
        "transposed": plain.real.t(),
        "strided": plain.real[::3, 1::2],
        "expanded": torch.randn(1, 500).expand(300, 500),
        "conjugated": plain.conj(),
        "negated": plain.conj().imag,
        "half": plain.real.bfloat16(),
    }[make]
    intact.save({"before": torch.ones(3), "it": tensor, "after": torch.ones(5)}, tmp_path / NAME)
    assert intact.verify(tmp_path / NAME).verdict == "intact"
    assert torch.equal(intact.read(tmp_path / NAME)["it"], tensor)


def test_a_tensor_that_is_larger_than_a_file_may_be_gets_one_of_its_own(tmp_path: Path) -> None:
    """No tensor is cut, and no file is empty."""
    state = {"a": torch.zeros(10), "large": torch.zeros(1_000), "b": torch.zeros(10), "c": torch.zeros(10)}
    intact.save(state, tmp_path / NAME, max_shard_bytes=100)
    assert [len(intact.read(path)) for path in sorted(tmp_path.glob("model-*"))] == [1, 1, 2]
    assert split([], 100) == [[]]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    """The path in the error is the one that was asked for, and not that of a draft."""
    save(tmp_path, 1.0)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(intact.IntactError, match="save where you may write") as caught:
            save(tmp_path, 2.0)
        assert caught.value.path == str(tmp_path / NAME)
        assert value_at(tmp_path) == 1.0
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.parametrize(
    ("number", "hint"), [(errno.EROFS, "can be written"), (errno.EACCES, "you may write"), (errno.EDQUOT, "quota")]
)
def test_what_the_system_refuses_is_told_with_what_to_do(
    number: int, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that is mounted for reading, a folder of somebody else, a quota."""
    save(tmp_path, 1.0)
    opened = os.open

    def refusing(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise OSError(number, os.strerror(number))
        return opened(path, flags, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refusing)
        with pytest.raises(intact.IntactError) as caught:
            save(tmp_path, 2.0)
    assert hint in caught.value.help
    assert caught.value.path == str(tmp_path / NAME)
    assert "stands there now" in caught.value.message
    assert value_at(tmp_path) == 1.0


def test_a_folder_that_has_the_name_of_the_file_is_a_place_to_save_into(tmp_path: Path) -> None:
    """It is never replaced, whatever it is called."""
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "precious").touch()
    save(tmp_path, 1.0)
    assert value_at(tmp_path / NAME) == 1.0
    assert names(tmp_path / NAME) == {NAME, "precious"}
