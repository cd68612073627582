"""A guarded save writes the file that torch would have written, whole or not at all, and a seal beside it."""

from __future__ import annotations

import io
import os
import random
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import intact
from intact.containers.sidecar import read_sidecar
from intact.files.atomic import writing


@pytest.fixture
def state() -> dict[str, Any]:
    """A state of some size."""
    torch.manual_seed(0)
    return {"weight": torch.randn(300, 1000), "step": 7, "names": ["a", "b"]}


@pytest.fixture(autouse=True)
def _guarded() -> Iterator[None]:
    with intact.guard():
        yield


def plain_save(*args: Any, **kwargs: Any) -> None:
    """torch's own function, beneath the guard."""
    torch.save.__wrapped__(*args, **kwargs)  # type: ignore[attr-defined]


@pytest.mark.parametrize("options", [{}, {"pickle_protocol": 4}, {"_use_new_zipfile_serialization": False}])
@pytest.mark.parametrize("name", ["model.pth", "modèle.pth", "no-suffix"])
def test_the_file_is_the_one_that_torch_writes(tmp_path: Path, state: dict[str, Any], name: str, options: dict[str, Any]) -> None:
    """Plain torch, other programs and older torches read it: nothing may differ, not even the name within the archive."""
    (tmp_path / "plain").mkdir()
    plain_save(state, tmp_path / "plain" / name, **options)
    torch.save(state, str(tmp_path / name), **options)
    assert (tmp_path / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    assert intact.verify(tmp_path / name).verdict == "intact"
    assert sorted(os.listdir(tmp_path)) == sorted([name, f"{name}.seal.json", "plain"])


def test_file_objects_and_devices_are_left_to_torch(state: dict[str, Any]) -> None:
    """There is nothing to rename, and nothing to stand beside."""
    stream = io.BytesIO()
    torch.save(state, stream)
    assert stream.getvalue()
    torch.save({"a": 1}, "/dev/null", _use_new_zipfile_serialization=False)
    assert not Path("/dev/null").is_file()
    assert not os.path.lexists("/dev/null.seal.json")


def test_what_torch_refuses_is_refused_as_ever_and_the_old_file_stays(tmp_path: Path, state: dict[str, Any]) -> None:
    """A program may catch just these errors; plain torch leaves half a file."""
    with pytest.raises(RuntimeError, match="Parent directory"):
        torch.save(state, tmp_path / "no-folder" / "a.pth")
    torch.save(state, tmp_path / "a.pth")
    before = (tmp_path / "a.pth").read_bytes()
    with pytest.raises(AttributeError, match=r"[Cc]an't (pickle|get) local object"):
        torch.save({"weight": torch.ones(9), "function": lambda: 0}, tmp_path / "a.pth")
    assert (tmp_path / "a.pth").read_bytes() == before
    assert intact.verify(tmp_path / "a.pth").verdict == "intact"
    assert len(os.listdir(tmp_path)) == 2


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path, state: dict[str, Any]) -> None:
    """`last.ckpt` is a link in many programs, and torch writes to where it leads."""
    (tmp_path / "last.pth").symlink_to("real.pth")
    plain_save({"a": 1}, tmp_path / "real.pth")
    torch.save(state, tmp_path / "last.pth")
    assert (tmp_path / "last.pth").is_symlink()
    assert (tmp_path / "real.pth.seal.json").is_file()
    assert torch.equal(torch.load(tmp_path / "last.pth")["weight"], state["weight"])


def test_the_umask_decides_on_a_new_file_and_an_old_one_keeps_its_mode(tmp_path: Path, state: dict[str, Any]) -> None:
    """A group shares checkpoints; what only its owner may read must not become readable by being saved again."""
    umask = os.umask(0o027)
    try:
        torch.save(state, tmp_path / "a.pth")
        assert (tmp_path / "a.pth").stat().st_mode & 0o777 == 0o640
        (tmp_path / "a.pth").chmod(0o600)
        torch.save(state, tmp_path / "a.pth")
    finally:
        os.umask(umask)
    assert (tmp_path / "a.pth").stat().st_mode & 0o777 == 0o600


def test_random_numbers_come_as_they_would_have_come(tmp_path: Path, state: dict[str, Any]) -> None:
    """A guarded run trains the same model."""
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    wanted = torch.rand(1).item(), random.random(), np.random.rand()
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    torch.save(state, tmp_path / "a.pth")
    torch.load(tmp_path / "a.pth")
    net = torch.nn.Linear(2, 2, device="meta")
    with pytest.raises(RuntimeError):
        net.load_state_dict({"module.weight": torch.ones(2, 2)})
    assert (torch.rand(1).item(), random.random(), np.random.rand()) == wanted


def test_a_second_writer_waits_and_is_told_and_nothing_is_lost(tmp_path: Path, state: dict[str, Any]) -> None:
    """All ranks of a careless distributed run save to one path; an error in one of them would hang the others."""
    path = tmp_path / "a.pth"
    ready, free = threading.Event(), threading.Event()

    def hold() -> None:
        with writing(path):
            ready.set()
            free.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    ready.wait(10)
    threading.Timer(0.1, free.set).start()
    with pytest.warns(intact.CheckpointWarning, match="file/concurrent-writes: another thread was saving"):
        torch.save(state, path)
    holder.join()
    assert torch.load(path)["step"] == 7


def test_a_folder_that_takes_no_draft_is_written_in_place_and_the_user_is_told(
    tmp_path: Path, state: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mounted file in a read-only folder could be saved to before, and still can."""
    torch.save({"a": 1}, tmp_path / "a.pth")

    def refuse(*args: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("intact.guard_saving.os.mkdir", refuse)
    with pytest.warns(intact.CheckpointWarning, match="written in place"):
        torch.save(state, tmp_path / "a.pth")
    assert torch.load(tmp_path / "a.pth")["step"] == 7
    assert not (tmp_path / "a.pth.seal.json").exists()


def test_a_seal_that_the_disk_does_not_take_costs_the_seal_and_not_the_save(
    tmp_path: Path, state: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last bytes of a disk go to the checkpoint; an old seal beside a new file would call it damaged."""
    torch.save({"a": 1}, tmp_path / "a.pth")

    def full(*args: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("intact.guard_saving._written", full)
    with pytest.warns(intact.CheckpointWarning, match="saved, and not sealed"):
        torch.save(state, tmp_path / "a.pth")
    assert torch.load(tmp_path / "a.pth")["step"] == 7
    assert os.listdir(tmp_path) == ["a.pth"]


def test_a_program_that_saves_while_the_interpreter_ends_saves(
    tmp_path: Path, state: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread can be started then, and the last checkpoint of a run is often written by `atexit`."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    torch.save(state, tmp_path / "a.pth")
    torch.save(state, tmp_path / "a.pth")
    assert torch.load(tmp_path / "a.pth")["step"] == 7
    assert intact.verify(tmp_path / "a.pth").verdict == "intact"


def test_a_save_that_went_well_says_nothing_and_leaves_a_settled_seal(tmp_path: Path, state: dict[str, Any]) -> None:
    """A guard that warns on every epoch is switched off."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            torch.save(state, tmp_path / "a.pth")
            torch.load(tmp_path / "a.pth")
    seal = read_sidecar(tmp_path / "a.pth.seal.json")
    assert not seal.before
    assert seal.files["a.pth"].identity
