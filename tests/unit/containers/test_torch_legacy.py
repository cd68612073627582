"""torch's legacy files: five pickles and the storages behind them, whole, cut and contradicting themselves."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from intact.containers.pickled import PickledContainer
from intact.containers.torch_legacy import is_legacy, matches, open_file
from intact.errors import Damaged, NotACheckpoint
from intact.files.reading import BoundedFile

WEIGHTS = {"fc.weight": torch.arange(12.0).reshape(3, 4), "fc.bias": torch.ones(3)}
MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
STORAGE = b"(U\x07storagectorch\nFloatStorage\nU\x01aU\x03cpuK\x04"


def saved(folder: Path, content: Any = WEIGHTS, protocol: int = 2) -> Path:
    """A file as torch writes it when it is asked for this format."""
    path = folder / "model.pth"
    torch.save(content, path, _use_new_zipfile_serialization=False, pickle_protocol=protocol)
    return path


def opened(path: Path) -> PickledContainer:
    """The file as a container of this format."""
    return open_file(BoundedFile(path))


def crafted(
    folder: Path,
    objects: bytes,
    keys: Any = ("a",),
    storages: bytes = struct.pack("<q4f", 4, 1, 2, 3, 4),
    version: int = 1001,
    magic: bytes = MAGIC,
) -> Path:
    """A file put together by hand."""
    path = folder / "crafted.pth"
    header = magic + pickle.dumps(version, 2) + pickle.dumps({"little_endian": True}, 2)
    path.write_bytes(header + objects + pickle.dumps(list(keys) if isinstance(keys, tuple) else keys, 2) + storages)
    return path


def tensor(identity: bytes, shape: bytes = b"K\x02\x85", offset: int = 0) -> bytes:
    """A pickle of one tensor of before 0.4 under the key `w`."""
    rest = b"K" + bytes([offset]) + shape + b"K\x01\x85"
    return b"\x80\x02}U\x01wctorch._utils\n_rebuild_tensor\n(" + identity + b"Q" + rest + b"tRs."


def values(container: PickledContainer, key: str) -> list[float]:
    """The float32 elements of a tensor that lies in one piece."""
    record = container.record(key)
    assert record.storage is not None
    raw = container.storage_bytes(record.storage)
    return list(struct.unpack_from(f"<{record.elements}f", raw, 4 * record.offset))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_keys_shapes_and_bytes(protocol: int, tmp_path: Path) -> None:
    """The ordinary case, in each protocol that torch can be asked for."""
    path = saved(tmp_path, protocol=protocol)
    assert matches(BoundedFile(path))
    container = opened(path)
    assert {key: info.shape for key, info in container.describe().tensors.items()} == {"fc.weight": (3, 4), "fc.bias": (3,)}
    assert values(container, "fc.weight") == list(range(12))
    assert container.source.container == "torch-legacy"
    assert container.source.writer.version == ">=0.4"


def test_protocols_of_text_have_the_magic_number_in_digits() -> None:
    """Nobody forbids protocol 0."""
    assert is_legacy(pickle.dumps(0x1950A86A20F9469CFC6C, 0))
    assert not is_legacy(pickle.dumps(0x1950A86A20F9469CFC6D, 0))


def test_shared_views_share_their_storage(tmp_path: Path) -> None:
    """Tied weights are one memory under two keys."""
    base = torch.arange(6.0)
    container = opened(saved(tmp_path, {"a": base, "b": base[2:], "c": base}))
    assert container.record("a").storage is container.record("b").storage
    assert container.describe().ties == (("a", "c"),)
    assert values(container, "b") == [2, 3, 4, 5]


def test_a_part_of_a_storage_counts_from_its_own_begin(tmp_path: Path) -> None:
    """Before 0.4, an offset counted within the part, not within the whole."""
    container = opened(crafted(tmp_path, tensor(STORAGE + b"(U\x01bK\x01K\x03tt", offset=1)))
    assert container.record("w").offset == 2
    assert values(container, "w") == [3.0, 4.0]
    assert container.source.writer.version == "0.1 to 0.3"


def test_a_tensor_outside_its_part_is_refused_even_if_the_whole_is_large_enough(tmp_path: Path) -> None:
    """The part is what the tensor was given."""
    with pytest.raises(Damaged) as caught:
        opened(crafted(tmp_path, tensor(STORAGE + b"(U\x01bK\x01K\x02tt", offset=1)))
    assert caught.value.code == "file/storage-bounds"
    with pytest.raises(Damaged) as caught:
        opened(crafted(tmp_path, tensor(STORAGE + b"(U\x01bK\x03K\x02tt")))
    assert caught.value.code == "file/storage-bounds"


def test_a_part_by_itself_has_the_bytes_of_the_part(tmp_path: Path) -> None:
    """Storages may stand beside tensors."""
    container = opened(crafted(tmp_path, b"\x80\x02" + STORAGE + b"(U\x01bK\x01K\x02ttQ."))
    assert struct.unpack("<2f", container.storage_bytes(container.objects())) == (2.0, 3.0)


def test_a_class_with_its_source_text_is_the_class(tmp_path: Path) -> None:
    """Whole models carry the source of their classes in the persistent id."""
    identity = b"(U\x06modulecmodels\nNet\nU\x09models.pyU\x0aclass Net:tQ"
    container = opened(crafted(tmp_path, b"\x80\x02" + identity + b")\x81}U\x01aK\x01sb.", keys=(), storages=b""))
    assert container.objects().name == "models.Net"
    assert container.objects().state == {"a": 1}


def test_every_cut_of_a_file_is_called_truncated(tmp_path: Path) -> None:
    """The user must hear of it before the first value is used."""
    raw = saved(tmp_path).read_bytes()
    cut = tmp_path / "cut.pth"
    for length in range(15, len(raw)):
        cut.write_bytes(raw[:length])
        with pytest.raises(Damaged) as caught:
            opened(cut)
        assert caught.value.code == "file/truncated", length


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"storages": struct.pack("<q5f", 5, 1, 2, 3, 4, 5)}, "file/storage-bounds"),
        ({"storages": struct.pack("<q4f", -1, 1, 2, 3, 4)}, "file/storage-bounds"),
        ({"keys": ("a", "a")}, "file/bad-header"),
        ({"keys": ("x",)}, "file/bad-header"),
        ({"keys": ()}, "file/bad-header"),
        ({"keys": 5}, "file/bad-header"),
        ({"magic": pickle.dumps(5, 2)}, "file/bad-header"),
    ],
)
def test_parts_that_contradict_each_other(change: dict[str, Any], code: str, tmp_path: Path) -> None:
    """Counts stand in two places of the file, and must agree."""
    with pytest.raises(Damaged) as caught:
        opened(crafted(tmp_path, tensor(STORAGE + b"Nt"), **change))
    assert caught.value.code == code


def test_another_version_of_the_format_is_named(tmp_path: Path) -> None:
    """torch only ever wrote one."""
    with pytest.raises(NotACheckpoint, match="1002"):
        opened(crafted(tmp_path, tensor(STORAGE + b"Nt"), version=1002))


@pytest.mark.parametrize("identity", [b"K\x01", b")", b"(U\x05othercm\nC\nt", b"(U\x07storageK\x01U\x01aU\x03cpuK\x04Nt"])
def test_persistent_ids_of_no_known_form_are_a_damaged_file(identity: bytes, tmp_path: Path) -> None:
    """They decide which bytes belong to which tensor."""
    with pytest.raises(Damaged):
        opened(crafted(tmp_path, tensor(identity)))


def test_tensors_of_the_first_releases_get_their_memory_by_state(tmp_path: Path) -> None:
    """`torch.FloatTensor()` is empty until BUILD gives it storage, offset, size and stride."""
    raw = b"\x80\x02ctorch\nFloatTensor\n)R(" + STORAGE + b"NtQK\x01K\x02K\x01\x86K\x01K\x01\x86tb."
    container = opened(crafted(tmp_path, raw))
    record = container.record("")
    assert (record.shape, record.offset) == ((2, 1), 1)
    assert values(container, "") == [2.0, 3.0]
