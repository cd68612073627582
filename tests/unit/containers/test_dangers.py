"""How bad it is that a pickle names something, and that nothing hides from being named."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

import intact
from intact.containers.pickles.dangers import grade

CORPUS = Path(__file__).parents[4] / "shared" / "corpus"

DANGEROUS = """
    os.system posix.system nt.system subprocess.Popen builtins.eval builtins.exec builtins.__import__ runpy._run_code
    pkgutil.resolve_name pydoc.locate timeit.timeit cProfile.run bdb.Bdb ctypes.CDLL operator.attrgetter operator.methodcaller
    asyncio.unix_events._UnixSubprocessTransport._start importlib.import_module logging.FileHandler urllib.request.urlopen
    requests.api.get pip.main torch.load torch.hub.load torch.jit.unsupported_tensor_ops.execWrapper
    numpy.f2py.crackfortran.getlincoef
    torch.fx.graph_module.reduce_graph_module numpy.core.multiarray.__builtins__ collections.OrderedDict.__globals__
"""
DATA = """
    argparse.Namespace pathlib.PosixPath datetime.datetime decimal.Decimal collections.deque uuid.UUID torch.optim.adam.Adam
    torch.nn.modules.linear.Linear numpy.random._pickle.__randomstate_ctor torch.distributed.checkpoint.metadata.Metadata
"""
UNKNOWN = "mypackage.Config parse_config.ConfigParser __main__.Net functools.partial builtins.getattr _operator.getitem"


@pytest.mark.parametrize("name", DANGEROUS.split())
def test_what_runs_reads_or_fetches_is_dangerous(name: str) -> None:
    """By where it lives, not by a list of names that somebody has used already."""
    assert grade(name, called=True) == "dangerous"


@pytest.mark.parametrize("name", [name for name in DATA.split() if "__randomstate" not in name])
def test_what_only_holds_data_is_data(name: str) -> None:
    """Honest files are full of it."""
    assert grade(name, called=True) == "data"


@pytest.mark.parametrize("name", UNKNOWN.split())
def test_other_peoples_classes_are_unknown(name: str) -> None:
    """Neither accused nor cleared."""
    assert grade(name, called=True) == "unknown"


class Payload:
    """Would run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


def _codes(path: Path) -> set[str]:
    return {finding.code for finding in intact.check(path).findings}


def test_a_second_pickle_of_an_archive_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody will open the archive by hand."""
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(2)}, "model.pth")
    with zipfile.ZipFile("model.pth", "a") as archive:
        archive.writestr("model/config.p", pickle.dumps(Payload()))
    assert "safety/code-execution" in _codes(tmp_path / "model.pth")
    assert not (tmp_path / "ran").exists()


def test_a_pickle_that_breaks_off_is_still_unsafe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpickling runs what stands before the break."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cut.pkl").write_bytes(pickle.dumps([Payload(), "x" * 100], protocol=2)[:-30])
    assert intact.check(tmp_path / "cut.pkl").verdict == "unsafe"


def test_a_payload_inside_an_archive_of_other_files_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive is no checkpoint, and must not look harmless for that."""
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("things.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
        archive.writestr("a.pkl", pickle.dumps(Payload()))
        archive.writestr("b.pkl", pickle.dumps({}))
    assert intact.check(tmp_path / "things.zip").verdict == "unsafe"


@pytest.mark.skipif(not (CORPUS / "MANIFEST.json").is_file(), reason="the corpus of real files is not here")
def test_hostile_files_are_unsafe_and_no_honest_one_is() -> None:
    """Of all files that other programs wrote, and of all that were made to do harm."""
    rows = [row for row in json.loads((CORPUS / "MANIFEST.json").read_text()) if row["file"]]
    wrong = []
    for row in rows:
        harmful = bool(row.get("harmful")) and not row["file"].endswith(
            "data/pytorch_model.bin"
        )  # weights that a scanner once accused
        verdict = intact.check(CORPUS / row["file"]).verdict
        if (verdict == "unsafe") is not harmful:
            wrong.append((row["file"], verdict))
    assert not wrong
