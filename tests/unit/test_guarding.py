"""The guard goes on and off without a trace, waits for torch, and reaches the processes that a guarded program starts."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import torch
from torch import nn

import intact


def own_functions() -> tuple[object, ...]:
    """Returns what the guard replaces, as it is now."""
    return torch.save, torch.load, torch.serialization.save, torch.serialization.load, nn.Module.load_state_dict


def test_a_guard_that_is_stopped_leaves_torch_as_it_was() -> None:
    """Somebody may guard one part of a program only."""
    before = own_functions()
    with intact.guard():
        assert not set(map(id, own_functions())) & set(map(id, before))
        assert torch.save is torch.serialization.save
    assert own_functions() == before


def test_two_guards_are_one_until_the_last_is_stopped(tmp_path: Path) -> None:
    """A library and the program that uses it may both ask for it, and neither may end the other's."""
    before = own_functions()
    first, second = intact.guard(), intact.guard()
    try:
        first.stop()
        first.stop()
        torch.save({"a": torch.ones(2)}, tmp_path / "a.pth")
        assert (tmp_path / "a.pth.seal.json").is_file()
    finally:
        second.stop()
    assert own_functions() == before


def test_a_function_that_somebody_replaced_meanwhile_is_left_and_the_guard_below_it_is_off(tmp_path: Path) -> None:
    """Other libraries replace torch's functions too, and must not lose theirs."""
    before = torch.save
    try:
        with intact.guard():
            theirs = partial(torch.save)
            torch.save = theirs
        assert torch.save is theirs
        torch.save({"a": torch.ones(2)}, tmp_path / "a.pth")
        assert os.listdir(tmp_path) == ["a.pth"]
    finally:
        torch.save = before  # the guard's own was beneath: it has been given back by nobody


def test_threads_that_save_to_paths_of_their_own_do_not_meet(tmp_path: Path) -> None:
    """Asynchronous savers are threads."""
    with intact.guard():
        threads = [
            threading.Thread(target=torch.save, args=({"a": torch.full((1000,), float(n))}, tmp_path / f"{n}.pth"))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [float(torch.load(tmp_path / f"{n}.pth")["a"][0]) for n in range(8)] == list(range(8))
    assert len(os.listdir(tmp_path)) == 16


LATE = """
import sys
import intact
intact.guard()
assert "torch" not in sys.modules, "a guard that imports torch decides on threads and devices before the program does"
import os
os.environ["OMP_NUM_THREADS"] = "1"
import torch
import torch.multiprocessing as mp

def work(rank):
    torch.save({"rank": rank}, "from-a-process.pth")

if __name__ == "__main__":
    assert torch.get_num_threads() == 1
    assert type(torch.__spec__.loader).__module__ != "intact.guarding"
    torch.save({"a": 1}, "a.pth")
    mp.spawn(work, nprocs=1)
    print(sorted(os.listdir(".")))
"""


def test_a_guard_before_torch_is_imported_waits_for_it_and_reaches_new_processes(tmp_path: Path) -> None:
    """What a program sets before it imports torch counts at that moment; a process that is spawned begins from nothing."""
    (tmp_path / "late.py").write_text(LATE)
    source = str(Path(importlib.import_module("intact").__file__ or "").parents[1])
    environment = {**{k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}, "PYTHONPATH": source}
    done = subprocess.run([sys.executable, "late.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = ["a.pth", "a.pth.seal.json", "from-a-process.pth", "from-a-process.pth.seal.json", "late.py"]
    assert done.stdout.strip() == str(expected)
