"""torch's first format, a tar archive: put together by hand, because no torch of today writes it."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest

from intact.containers.pickled import PickledContainer
from intact.containers.torch_tar import matches, open_file
from intact.errors import Damaged
from intact.files.reading import BoundedFile


def number(value: int) -> bytes:
    """One pickle of a number."""
    return pickle.dumps(value, 2)


def storage(key: int, values: tuple[float, ...], count: int | None = None) -> bytes:
    """One storage: key, place and type, then count and values."""
    name = b"\x80\x02(" + number(key)[2:-1] + b"U\x03cpuctorch\nFloatStorage\nt."
    return name + struct.pack(f"<q{len(values)}f", len(values) if count is None else count, *values)


def tensor(key: int, storage_key: int, sizes: tuple[int, ...], strides: tuple[int, ...], offset: int) -> bytes:
    """One tensor: key, storage and type, then the numbers of the view."""
    name = b"\x80\x02(" + number(key)[2:-1] + number(storage_key)[2:-1] + b"ctorch\nFloatTensor\nt."
    return name + struct.pack(f"<ii{2 * len(sizes) + 1}q", len(sizes), 0, *sizes, *strides, offset)


STORAGES = number(1) + storage(7, (1, 2, 3, 4, 5, 6)) + pickle.dumps([(8, 7, 2, 3)], 2)
TENSORS = number(2) + tensor(10, 7, (2, 3), (3, 1), 0) + tensor(11, 8, (2,), (1,), 1)
OBJECTS = b"\x80\x02cUserList\nOrderedDict\n)R(U\x01wU\x0210QU\x01bU\x0211Qu."


def written(
    folder: Path,
    storages: bytes = STORAGES,
    tensors: bytes | None = TENSORS,
    objects: bytes = OBJECTS,
    how: int = tarfile.PAX_FORMAT,
) -> Path:
    """An archive with the four members."""
    path = folder / "model.pkl"
    with tarfile.open(path, "w", format=how) as archive:
        members = {"sys_info": pickle.dumps({}, 2), "pickle": objects, "tensors": tensors, "storages": storages}
        for name, data in members.items():
            if data is not None:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                info.mtime = 1.5
                archive.addfile(info, io.BytesIO(data))
    return path


def opened(path: Path) -> PickledContainer:
    """The file as a container of this format."""
    return open_file(BoundedFile(path))


@pytest.mark.parametrize("how", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_tensors_and_parts_of_storages(how: int, tmp_path: Path) -> None:
    """All that the format has, in each kind of tar that Python writes."""
    path = written(tmp_path, how=how)
    assert matches(BoundedFile(path))
    container = opened(path)
    assert {key: info.shape for key, info in container.describe().tensors.items()} == {"w": (2, 3), "b": (2,)}
    record = container.record("b")
    assert record.offset == 3
    assert record.storage is container.record("w").storage
    assert record.storage is not None
    assert struct.unpack("<6f", container.storage_bytes(record.storage)) == (1, 2, 3, 4, 5, 6)
    assert container.source.container == "torch-tar"


def test_other_archives_are_none(tmp_path: Path) -> None:
    """Any tar may hold a checkpoint; that is another finding."""
    path = tmp_path / "other.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("model.pth"), io.BytesIO())
    assert not matches(BoundedFile(path))
    path.write_bytes(bytes(1024))
    assert not matches(BoundedFile(path))


def test_every_cut_is_called_damaged(tmp_path: Path) -> None:
    """Only the padding at the end may be missing."""
    raw = written(tmp_path, how=tarfile.USTAR_FORMAT).read_bytes()
    end = max(at for at, byte in enumerate(raw) if byte)
    cut = tmp_path / "cut.tar"
    for length in range(512, end, 61):
        cut.write_bytes(raw[:length])
        with pytest.raises(Damaged):
            opened(cut)


@pytest.mark.parametrize(
    "change",
    [
        {"storages": number(1) + storage(7, (1.0,), 9)},
        {"storages": number(1) + storage(7, (1.0,), -1)},
        {"storages": number(1 << 40)},
        {"storages": number(1) + storage(7, (1.0, 2.0)) + pickle.dumps([(8, 7, 1, 3)], 2)},
        {"storages": number(1) + storage(7, (1.0, 2.0)) + pickle.dumps([(8, 9, 1, 1)], 2)},
        {"storages": number(1) + storage(7, (1.0, 2.0)) + pickle.dumps([8], 2)},
        {"storages": number(1) + pickle.dumps((1, 2), 2)},
        {"tensors": number(1) + tensor(10, 99, (1,), (1,), 0)},
        {"tensors": number(1) + tensor(10, 7, (7,), (1,), 0)},
        {"tensors": number(1) + tensor(10, 7, (1,), (1,), -1)},
        {"tensors": number(1) + tensor(10, 7, (1,), (1,), 0).replace(struct.pack("<ii", 1, 0), struct.pack("<ii", 1 << 20, 0))},
        {"tensors": number(1) + tensor(10, 7, (1,), (1,), 0)[:-4]},
        {"objects": b"\x80\x02U\x0299Q."},
        {"tensors": None},
    ],
)
def test_parts_that_contradict_each_other_are_damage(change: dict[str, Any], tmp_path: Path) -> None:
    """Every number in the file leads somewhere, and must lead into it."""
    with pytest.raises(Damaged):
        opened(written(tmp_path, **change))
