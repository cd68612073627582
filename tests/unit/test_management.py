"""The checkpoints of a run: which are kept, which is gone on from, and saving while training goes on."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import intact
from intact.files.atomic import writing
from intact.management import CheckpointManager
from intact.training_saving import write_training


def steps(manager: CheckpointManager) -> list[int]:
    """Returns the steps that are there, in the order in which they were saved."""
    return [saved.step for saved in manager.checkpoints]


def filled(folder: Path, losses: list[float], **options: Any) -> CheckpointManager:
    """Returns the manager of a run with a checkpoint for each loss."""
    manager = CheckpointManager(folder, best=("val_loss", "min"), **options)
    net = nn.Linear(9, 9)
    for step, loss in enumerate(losses):
        with torch.no_grad():
            net.weight.fill_(step)
        manager.save(step, model=net, metrics={"val_loss": loss})
    return manager


def damaged(path: Path) -> None:
    """Changes one bit in the tensors of a model."""
    content = bytearray((path / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (path / "model.safetensors").write_bytes(content)


def test_the_newest_the_best_and_every_nth_are_kept(tmp_path: Path) -> None:
    """A disk is full sooner than one thinks, and the best is never what goes."""
    manager = filled(tmp_path / "run", [5, 1, 4, 3, 2, 6, 7], keep_last=2, keep_every=3)
    assert steps(manager) == [0, 1, 3, 5, 6]
    assert manager.best == tmp_path / "run" / "step-1"
    assert manager.latest == tmp_path / "run" / "step-6"
    assert os.readlink(tmp_path / "run" / "best") == "step-1"
    assert os.readlink(tmp_path / "run" / "latest") == "step-6"
    assert sorted(os.listdir(tmp_path / "run")) == ["best", "latest", "step-0", "step-1", "step-3", "step-5", "step-6"]


def test_a_checkpoint_that_is_older_by_number_is_new_by_time(tmp_path: Path) -> None:
    """A run that was set back saves step 2 again, and must not lose it to the steps of before."""
    manager = filled(tmp_path / "run", [1, 2, 3, 4, 5], keep_last=2)
    manager.save(2, model=nn.Linear(9, 9), metrics={"val_loss": 9})
    assert steps(manager) == [0, 4, 2]


def test_the_newest_whole_one_is_restored_and_the_others_are_named(tmp_path: Path) -> None:
    """The last one before a crash is the one that is damaged."""
    manager = filled(tmp_path / "run", [3, 2, 1])
    damaged(tmp_path / "run" / "step-2")
    net = nn.Linear(9, 9)
    report = manager.restore(model=net)
    assert torch.equal(net.weight, torch.ones(9, 9))
    assert manager.step == 1
    assert report.source.path.endswith("step-1")
    assert report.findings[0].code == "file/checksum-mismatch"
    assert "`step-2` was passed over" in report.findings[0].headline
    assert report.verdict == "suspect"


@pytest.mark.parametrize("name", ["state.json", "model.safetensors"])
def test_a_checkpoint_whose_files_are_gone_is_passed_over(tmp_path: Path, name: str) -> None:
    """A copy of the folder was interrupted."""
    manager = filled(tmp_path / "run", [3, 2])
    (tmp_path / "run" / "step-1" / name).unlink()
    net = nn.Linear(9, 9)
    manager.restore(model=net)
    assert manager.step == 0


def test_a_checkpoint_that_does_not_fit_is_no_reason_to_take_an_older_one(tmp_path: Path) -> None:
    """The code changed; going back in silence would hide it."""
    manager = filled(tmp_path / "run", [3, 2])
    with pytest.raises(intact.LoadRefused, match=r"arch/"):
        manager.restore(model=nn.Conv2d(1, 1, 1))


def test_nothing_whole_is_said_with_all_that_was_tried(tmp_path: Path) -> None:
    """An empty folder and one of ruins are different news."""
    manager = filled(tmp_path / "run", [3, 2])
    for path in (tmp_path / "run").glob("step-*"):
        damaged(path)
    with pytest.raises(intact.LoadRefused, match="none of the 2 checkpoints"):
        manager.restore(model=nn.Linear(9, 9))
    with pytest.raises(intact.LoadRefused, match="there is no checkpoint in it"):
        CheckpointManager(tmp_path / "other").restore(model=nn.Linear(9, 9))


def test_what_is_saved_in_the_background_is_what_was_there_at_the_call(tmp_path: Path) -> None:
    """Training goes on in the same memory."""
    manager = CheckpointManager(tmp_path / "run")
    net = nn.Linear(50, 50)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    net(torch.ones(1, 50)).sum().backward()
    optimizer.step()
    weight, momentum = net.weight.detach().clone(), optimizer.state[net.weight]["momentum_buffer"].clone()
    manager.save(1, model=net, optimizer=optimizer, background=True)
    with torch.no_grad():
        net.weight.zero_()
        optimizer.state[net.weight]["momentum_buffer"].zero_()
    other = nn.Linear(50, 50)
    again = torch.optim.SGD(other.parameters(), 0.1, momentum=0.9)
    assert manager.restore(model=other, optimizer=again).verdict == "intact"
    assert torch.equal(other.weight, weight)
    assert torch.equal(again.state[other.weight]["momentum_buffer"], momentum)


def test_an_error_in_the_background_is_raised_by_the_next_call(tmp_path: Path) -> None:
    """Otherwise the run ends with checkpoints that were never written."""
    manager = CheckpointManager(tmp_path / "run")
    (tmp_path / "run" / "step-1").mkdir(parents=True)
    (tmp_path / "run" / "step-1" / "notes.txt").write_text("mine")
    manager.save(1, model=nn.Linear(2, 2), background=True)
    with pytest.raises(intact.IntactError, match=r"notes\.txt"):
        manager.save(2, model=nn.Linear(2, 2))
    manager.save(2, model=nn.Linear(2, 2))
    assert steps(manager) == [2]
    assert (tmp_path / "run" / "step-1" / "notes.txt").exists()


def test_one_process_saves_to_a_folder_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that save and tidy at once would remove each other's checkpoints."""
    entered, leave = threading.Event(), threading.Event()
    write = write_training

    def slow(*arguments: Any, **options: Any) -> None:
        entered.set()
        leave.wait(10)
        write(*arguments, **options)

    monkeypatch.setattr("intact.management.write_training", slow)
    first = CheckpointManager(tmp_path / "run")
    first.save(1, model=nn.Linear(2, 2), background=True)
    assert entered.wait(10)
    with pytest.raises(intact.IntactError, match="saving to this path now"):
        CheckpointManager(tmp_path / "run").save(2, model=nn.Linear(2, 2))
    leave.set()
    first.wait()
    assert steps(first) == [1]


def test_remains_of_killed_writers_are_cleared_and_files_of_others_are_not(tmp_path: Path) -> None:
    """A folder that was being removed when the power went is out of sight, and goes with the next save."""
    folder = tmp_path / "run"
    (folder / ".step-7.0123456789ab.tmp").mkdir(parents=True)
    (folder / "events.log").write_text("mine")
    (folder / "best").write_text("mine too")
    filled(folder, [1])
    assert sorted(os.listdir(folder)) == ["best", "events.log", "latest", "step-0"]
    assert (folder / "best").read_text() == "mine too"


def test_locks_and_links_of_killed_writers_are_cleared_and_locks_of_living_ones_are_not(tmp_path: Path) -> None:
    """A process that is killed while it saves leaves the lock of that step, and no later step has the same."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".step-7.lock").touch()
    os.symlink("step-7", folder / ".latest.0123456789ab.tmp")
    os.symlink("step-7", folder / ".best.0123456789ab.tmp")
    with writing(folder / "step-8"):
        filled(folder, [1])
        assert sorted(os.listdir(folder)) == [".step-8.lock", "best", "latest", "step-0"]


def test_memory_of_a_background_save_is_written_over_by_the_next(tmp_path: Path) -> None:
    """New memory costs several times as much as the copy, and the first save may have been in inference mode."""
    manager = CheckpointManager(tmp_path / "run")
    net = nn.Linear(50, 50)
    with torch.inference_mode():
        manager.save(1, model=net, background=True)
    first = copies(manager)
    with torch.no_grad():
        net.weight.fill_(2)
    manager.save(2, model=net, background=True)
    assert copies(manager) == first
    manager.save(3, model=net)
    weights = [intact.read(tmp_path / "run" / f"step-{step}" / "model.safetensors")["weight"] for step in (1, 2)]
    assert [bool((weight == 2).all()) for weight in weights] == [False, True]
    assert copies(manager) == {}


def test_memory_that_does_not_fit_is_not_written_over(tmp_path: Path) -> None:
    """A layer was widened between two saves, and another one is held in half precision from now on."""
    manager = CheckpointManager(tmp_path / "run")
    manager.save(1, model=nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), background=True)
    wider = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 3).half())
    manager.save(2, model=wider, background=True)
    manager.wait()
    found = intact.read(tmp_path / "run" / "step-2" / "model.safetensors")
    assert all(torch.equal(found[key], value) and found[key].dtype == value.dtype for key, value in wider.state_dict().items())


def copies(manager: CheckpointManager) -> dict[str, int]:
    """Returns where the copies for a save in the background are."""
    held = {name: part.contents.tensors for name, part in manager._copies.items() if part.contents is not None}
    return {f"{name}/{key}": tensor.data_ptr() for name, tensors in held.items() for key, tensor in tensors.items()}


def test_the_list_is_a_table(tmp_path: Path) -> None:
    """`print(manager)` answers what there is."""
    lines = str(filled(tmp_path / "run", [0.5, 0.25, float("nan")])).splitlines()
    assert lines[0] == f"{tmp_path / 'run'}:"
    assert lines[1].split() == ["step", "val_loss", "saved", "size"]
    assert lines[3].split()[1] == "0.25"
    assert [line.split()[-1] for line in lines[2:]] == ["MB", "best", "latest"]
    assert "no checkpoints" in str(CheckpointManager(tmp_path / "none"))


@pytest.mark.parametrize(
    ("options", "step", "metrics"),
    [({"keep_last": 0}, 0, {}), ({"best": ("loss", "least")}, 0, {}), ({}, -1, {}), ({"best": ("loss", "min")}, 0, {"acc": 1.0})],
)
def test_what_makes_no_sense_is_refused_at_once(
    tmp_path: Path, options: dict[str, Any], step: int, metrics: dict[str, float]
) -> None:
    """Not after the first night of training."""
    with pytest.raises(intact.IntactError):
        CheckpointManager(tmp_path / "run", **options).save(step, metrics=metrics, model=nn.Linear(2, 2))
    assert not (tmp_path / "run").exists()
