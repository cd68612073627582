"""Law: any bytes whatever end in a description or in a typed error, soon."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intact.containers import plain_pickle, torch_legacy, torch_tar, torch_zip
from intact.containers.memory import Held
from intact.containers.objects import walk
from intact.containers.pickles import load
from intact.containers.pickles.opcodes import TABLE
from intact.errors import IntactError
from intact.files.reading import BoundedFile

NAMES = [
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch\nFloatStorage\n",
    b"ccollections\nOrderedDict\n",
    b"cm\nC\n",
    b"c__builtin__\nset\n",
]
KNOWN = [bytes([code]) for code, operation in enumerate(TABLE) if operation.__name__ != "_unknown"]
PIECES = st.sampled_from(
    [*KNOWN, *NAMES, b"K\x01", b"q\x00", b"h\x00", b"U\x01a", b"X\x01\x00\x00\x00a", b"\x8a\x01\x05", b")R", b"(t"]
)


def outcome(raw: bytes) -> str:
    """What became of one pickle: the code of a typed error, or that it was read."""
    try:
        unpickled = load(raw, memory=Held("", torch_legacy.nested_legacy))
        walk(unpickled.value, unpickled.foreign, "")
    except IntactError as error:
        return error.code
    return "read"


def outcome_of_file(path: Path, module: ModuleType) -> str:
    """What became of a file as one of the formats."""
    with BoundedFile(path) as file:
        try:
            if module.matches(file):
                module.open_file(file).describe()
        except IntactError as error:
            return error.code
    return "read"


@given(st.lists(PIECES, max_size=40).map(b"".join))
@settings(max_examples=500)
def test_any_sequence_of_opcodes(raw: bytes) -> None:
    """Opcodes in an order that no pickler writes."""
    assert outcome(raw + b".")


@given(st.binary(max_size=200))
def test_any_bytes(raw: bytes) -> None:
    """Files of any kind are given the name of a checkpoint."""
    assert outcome(raw)


STATE = OrderedDict(w=torch.arange(4.0), b=torch.ones(2).half())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """One file of each container."""
    path = tmp_path_factory.mktemp("whole") / "model.pth"
    files = []
    for legacy in (False, True):
        torch.save({"model": STATE, "step": 3}, path, _use_new_zipfile_serialization=not legacy)
        files.append(path.read_bytes())
    return [*files, pickle.dumps(STATE)]


@given(data=st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_changed_in_any_place(data: st.DataObject, whole: list[bytes], tmp_path: Path) -> None:
    """Flipped, cut, repeated: whatever happens to files."""
    raw = bytearray(data.draw(st.sampled_from(whole)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1)) if raw else 0
        change = data.draw(st.sampled_from(["flip", "cut", "insert", "remove"]))
        if change == "flip" and raw:
            raw[at] ^= 1 << data.draw(st.integers(0, 7))
        elif change == "cut":
            del raw[at:]
        elif change == "remove":
            del raw[at : at + 4]
        else:
            raw[at:at] = data.draw(st.binary(min_size=1, max_size=4))
    path = tmp_path / "changed.pth"
    path.write_bytes(raw)
    for module in (torch_zip, torch_legacy, torch_tar, plain_pickle):
        assert outcome_of_file(path, module)
