"""torch's zip archives: what is read of them, by which rules, and what each damage is called."""

from __future__ import annotations

import io
import struct
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from intact.containers.pickled import PickledContainer
from intact.containers.torch_zip import open_file
from intact.errors import CannotRead, Damaged, IntactError, NotACheckpoint, TooLarge
from intact.files.reading import BoundedFile

WEIGHTS = {"fc.weight": torch.arange(12.0).reshape(3, 4), "fc.bias": torch.ones(3)}


def opened(path: Path) -> PickledContainer:
    """The file as a container of this format."""
    return open_file(BoundedFile(path))


def saved(folder: Path, content: Any = WEIGHTS) -> Path:
    """A file as torch writes it."""
    path = folder / "model.pth"
    torch.save(content, path)
    return path


def members(path: Path) -> dict[str, bytes]:
    """The members of an archive by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repacked(path: Path, content: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """An archive of other members."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def values(container: PickledContainer, key: str) -> list[float]:
    """The float32 elements of a storage, as they stand in the file."""
    storage = container.record(key).storage
    assert storage is not None
    raw = container.storage_bytes(storage)
    return list(struct.unpack(("<" if storage.byteorder == "little" else ">") + f"{len(raw) // 4}f", raw))


def test_keys_shapes_bytes_and_writer(tmp_path: Path) -> None:
    """The ordinary case, complete."""
    path = saved(tmp_path)
    with closing(opened(path)) as container:
        tensors = container.describe().tensors
        assert {key: (info.dtype, info.shape, info.nest) for key, info in tensors.items()} == {
            "fc.weight": ("float32", (3, 4), ""),
            "fc.bias": ("float32", (3,), ""),
        }
        assert values(container, "fc.weight") == list(range(12))
        source = container.source
        assert (source.container, source.size_bytes, source.writer.version) == ("torch-zip", path.stat().st_size, ">=2.6")
        assert source.integrity.kind == "crc32"
        storage = container.record("fc.weight").storage
        assert storage is not None
        assert struct.unpack_from("<2f", path.read_bytes(), storage.begin) == (0.0, 1.0)


def test_a_file_without_checksums_says_so(tmp_path: Path) -> None:
    """torch can be told to leave them out, and then nothing can be verified."""
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        path = saved(tmp_path)
    finally:
        torch.serialization.set_crc32_options(before)
    assert opened(path).source.integrity.kind == "none"


def test_the_age_of_the_writer_is_told_by_its_records(tmp_path: Path) -> None:
    """Releases differ in what they can read; the user wants to know which one wrote the file."""
    content = members(saved(tmp_path))
    for gone, version in ((".format_version", ">=2.1"), ("byteorder", ">=2.0"), (".data/serialization_id", ">=1.6")):
        content = {name: data for name, data in content.items() if not name.endswith(gone)}
        assert opened(repacked(tmp_path / "old.pth", content)).source.writer.version == version


def test_a_file_of_a_big_endian_machine_is_marked(tmp_path: Path) -> None:
    """Its bytes must be turned before they are numbers here."""
    content = members(saved(tmp_path))
    swapped = {
        name: b"".join(data[i : i + 4][::-1] for i in range(0, len(data), 4)) if "/data/" in name else data
        for name, data in content.items()
    }
    path = repacked(tmp_path / "big.pth", {**swapped, "model/byteorder": b"big"})
    assert values(opened(path), "fc.weight") == list(range(12))


def test_a_byte_order_that_is_none_is_refused(tmp_path: Path) -> None:
    """Values read in the wrong order look like weights of a broken training."""
    content = {**members(saved(tmp_path)), "model/byteorder": b"middle"}
    with pytest.raises(Damaged, match="byte order"):
        opened(repacked(tmp_path / "odd.pth", content))


def test_an_archive_packed_again_with_compression_is_read(tmp_path: Path) -> None:
    """torch reads those too, but not with mmap: that silently gives garbage."""
    path = repacked(tmp_path / "packed.pth", members(saved(tmp_path)), zipfile.ZIP_DEFLATED)
    container = opened(path)
    assert values(container, "fc.weight") == list(range(12))
    storage = container.record("fc.weight").storage
    assert storage is not None
    assert storage.begin == -1


def test_an_archive_unpacked_and_packed_again_in_another_order_is_read(tmp_path: Path) -> None:
    """A zip tool may put a folder or a note of its own first, and torch then finds nothing."""
    content = {"__MACOSX/x": b"", **members(saved(tmp_path))}
    assert len(opened(repacked(tmp_path / "again.pth", content)).describe().tensors) == 2


def test_names_are_compared_as_torch_does(tmp_path: Path) -> None:
    """A scanner that looks for `data.pkl` only would call this file empty, and torch would run it."""
    content = {name.replace("data.pkl", "DATA.PKL"): data for name, data in members(saved(tmp_path)).items()}
    assert len(opened(repacked(tmp_path / "upper.pth", content)).describe().tensors) == 2


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_first_of_two_members_of_one_name_counts(tmp_path: Path) -> None:
    """Python's zipfile takes the last: the same file would show a check one content and torch another."""
    content = members(saved(tmp_path))
    path = tmp_path / "twice.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
        archive.writestr("model/data.pkl", b"\x80\x02}.")
    assert set(torch.load(path)) == set(opened(path).describe().tensors) == set(WEIGHTS)


def test_views_of_one_storage_share_it_and_equal_views_are_tied(tmp_path: Path) -> None:
    """Tied embeddings are one memory under two keys."""
    base = torch.arange(10.0)
    container = opened(saved(tmp_path, {"a": base, "b": base, "c": base[2:4], "d": torch.ones(1)}))
    assert container.describe().ties == (("a", "b"),)
    assert container.record("a") is container.record("b")
    assert container.record("a").storage is container.record("c").storage
    assert container.record("c").offset == 2


def test_every_cut_of_a_file_is_called_truncated(tmp_path: Path) -> None:
    """Downloads and saves stop at any byte; where only the directory is gone, every value is still there."""
    raw = saved(tmp_path).read_bytes()
    whole = opened(tmp_path / "model.pth")
    cut = tmp_path / "cut.pth"
    directory = raw.index(b"PK\x01\x02")
    for length in range(4, len(raw) - 1, 7):
        cut.write_bytes(raw[:length])
        if length < directory:
            with pytest.raises(Damaged):
                opened(cut)
        else:
            container = opened(cut)
            assert [remark.code for remark in container.remarks] == ["file/truncated"]
            for key in whole.describe().tensors:
                first, second = whole.record(key).storage, container.record(key).storage
                assert first is not None
                assert second is not None
                assert bytes(whole.storage_bytes(first)) == bytes(container.storage_bytes(second))
    cut.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(Damaged) as caught:
        opened(cut)
    assert caught.value.code == "file/truncated"


def test_trailing_bytes_are_tolerated_as_torch_does(tmp_path: Path) -> None:
    """Some transfers pad files; torch looks for the end in the last 64 KiB."""
    raw = saved(tmp_path).read_bytes()
    padded = tmp_path / "padded.pth"
    padded.write_bytes(raw + bytes(1000))
    assert len(opened(padded).describe().tensors) == 2
    padded.write_bytes(raw + bytes(70000))
    assert [remark.code for remark in opened(padded).remarks] == ["file/truncated"], "torch does not find its directory"


def pickled(
    shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0, elements: int = 3, kind: str = "FloatStorage"
) -> bytes:
    """A pickle of one tensor under the key `w`, with whatever numbers."""
    import pickle

    def number(value: Any) -> bytes:
        return pickle.dumps(value, 2)[2:-1]

    storage = b"(U\x07storagectorch\n" + kind.encode() + b"\nU\x010U\x03cpu" + number(elements) + b"tQ"
    rest = number(offset) + number(shape) + number(stride) + b"\x89ccollections\nOrderedDict\n)R"
    return b"\x80\x02}U\x01wctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + b"tRs."


def crafted(folder: Path, pickle: bytes, data: bytes = bytes(12)) -> Path:
    """An archive of one storage of 12 bytes around a pickle."""
    return repacked(folder / "crafted.pth", {"m/data.pkl": pickle, "m/data/0": data, "m/version": b"3\n"})


def test_the_crafted_file_is_one_that_torch_reads(tmp_path: Path) -> None:
    """Else the refusals below would prove nothing."""
    path = crafted(tmp_path, pickled((3,), (1,)))
    assert torch.load(path)["w"].shape == (3,)
    assert opened(path).record("w").shape == (3,)


@pytest.mark.parametrize(
    ("shape", "stride", "offset", "elements"),
    [
        ((4,), (1,), 0, 3),
        ((3,), (1,), 1, 3),
        ((2, 2), (2, 1), 0, 3),
        ((3,), (-1,), 2, 3),
        ((-3,), (1,), 0, 3),
        ((3,), (1,), -1, 3),
        ((2,), (1 << 62,), 0, 3),
        ((1 << 62, 1 << 62), (0, 0), 0, 3),
        ((1 << 70,), (0,), 0, 3),
        ((3,), (1,), 0, 4),
    ],
)
def test_a_tensor_that_reaches_outside_its_storage_is_refused(
    shape: tuple[int, ...], stride: tuple[int, ...], offset: int, elements: int, tmp_path: Path
) -> None:
    """Unchecked, it reads or writes memory that belongs to something else."""
    with pytest.raises(Damaged) as caught:
        opened(crafted(tmp_path, pickled(shape, stride, offset, elements)))
    assert caught.value.code == "file/storage-bounds"
    assert "'w'" in str(caught.value) or "'0'" in str(caught.value)


def test_a_tensor_expanded_from_one_element_is_read(tmp_path: Path) -> None:
    """A stride of 0 is how torch writes an expanded tensor."""
    assert opened(crafted(tmp_path, pickled((1000, 3), (0, 1)))).record("w").shape == (1000, 3)


def test_a_storage_without_a_record_is_named(tmp_path: Path) -> None:
    """The archive was packed again without it."""
    path = repacked(tmp_path / "less.pth", {"m/data.pkl": pickled((3,), (1,)), "m/version": b"3\n"})
    with pytest.raises(Damaged, match="m/data/0"):
        opened(path)


def test_a_dtype_of_a_newer_torch_is_described(tmp_path: Path) -> None:
    """Only reading its values needs the newer torch."""
    raw = pickled((3,), (1,), kind="UntypedStorage").replace(b"ctorch\nU", b"ctorch.storage\nU")
    raw = raw.replace(b"_rebuild_tensor_v2", b"_rebuild_tensor_v3").replace(
        b"OrderedDict\n)RtRs.", b"OrderedDict\n)Rctorch\nfloat6_e9m9\ntRs."
    )
    assert opened(crafted(tmp_path, raw)).describe().tensors["w"].dtype == "float6_e9m9"


def test_an_archive_that_inflates_without_measure_is_refused(tmp_path: Path) -> None:
    """Two gigabytes of zeros fit into two megabytes."""
    raw = bytearray(
        repacked(
            tmp_path / "bomb.pth", {"m/data.pkl": pickled((3,), (1,)), "m/data/0": bytes(12)}, zipfile.ZIP_DEFLATED
        ).read_bytes()
    )
    at = raw.index(b"PK\x01\x02")
    struct.pack_into("<I", raw, at + 24, 0x7FFFFFFF)
    (tmp_path / "bomb.pth").write_bytes(raw)
    with pytest.raises(TooLarge) as caught:
        opened(tmp_path / "bomb.pth")
    assert caught.value.code == "safety/archive-bomb"


def test_an_encrypted_archive_is_named(tmp_path: Path) -> None:
    """Its password is not ours to ask for; a file that only says so is read, as careless programs read it."""
    raw = bytearray(crafted(tmp_path, pickled((3,), (1,))).read_bytes())
    struct.pack_into("<H", raw, raw.index(b"PK\x01\x02") + 8, 1)
    (tmp_path / "crafted.pth").write_bytes(raw)
    assert opened(tmp_path / "crafted.pth").describe().tensors
    raw[raw.index(b"data.pkl") + 10] ^= 0xFF
    (tmp_path / "crafted.pth").write_bytes(raw)
    with pytest.raises(NotACheckpoint, match="encrypted"):
        opened(tmp_path / "crafted.pth")


def test_several_archives_end_to_end_are_named(tmp_path: Path) -> None:
    """Distributed checkpoints put each tensor's file behind the other."""
    parts = [saved(tmp_path, torch.ones(count)).read_bytes() for count in (100, 200, 300)]
    (tmp_path / "__0_0.distcp").write_bytes(b"".join(parts))
    with pytest.raises(NotACheckpoint) as caught:
        opened(tmp_path / "__0_0.distcp")
    assert caught.value.code == "file/several-checkpoints"


def test_archives_of_programs_and_other_things_are_named(tmp_path: Path) -> None:
    """Each needs another loader, and the message says which."""
    pickle = pickled((3,), (1,))
    cases: list[tuple[dict[str, bytes], str]] = [
        ({"m/data.pkl": pickle, "m/constants.pkl": b"", "m/code/a.py": b""}, "file/bad-header"),
        ({"m/archive_format": b"pt2", "m/models/model.json": b"{}"}, "file/exported-program"),
        ({"m/.data/extern_modules": b""}, "file/foreign-format"),
        ({"best.ckpt": b"x", "config.json": b"{}"}, "file/wrapped-archive"),
        ({"readme.txt": b"x"}, "file/not-a-checkpoint"),
        ({}, "file/not-a-checkpoint"),
    ]
    for content, code in cases:
        path = repacked(tmp_path / "other.zip", content)
        with pytest.raises(CannotRead) as caught:
            opened(path)
        assert caught.value.code == code
        assert caught.value.help


def test_a_zip_of_64_bits_is_read(tmp_path: Path) -> None:
    """Files over 4 GiB have their numbers in an extra field; any size may."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members(saved(tmp_path)).items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(data)
    raw = bytearray(stream.getvalue())
    at = raw.index(b"PK\x01\x02")
    sizes = struct.unpack_from("<II", raw, at + 20)
    name_length = struct.unpack_from("<H", raw, at + 28)[0]
    struct.pack_into("<II", raw, at + 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<H", raw, at + 30, 20)
    raw[at + 46 + name_length : at + 46 + name_length] = struct.pack("<HHQQ", 1, 16, sizes[1], sizes[0])
    end = raw.rindex(b"PK\x05\x06")
    struct.pack_into("<I", raw, end + 12, struct.unpack_from("<I", raw, end + 12)[0] + 20)
    (tmp_path / "big.pth").write_bytes(raw)
    assert len(opened(tmp_path / "big.pth").describe().tensors) == 2


def test_any_changed_byte_of_the_directory_ends_in_a_typed_error_or_in_the_same_content(tmp_path: Path) -> None:
    """The directory is what an attacker changes first."""
    raw = saved(tmp_path).read_bytes()
    begin = raw.index(b"PK\x01\x02")
    path = tmp_path / "changed.pth"
    for at in range(begin, len(raw)):
        for value in (0, 0xFF):
            path.write_bytes(raw[:at] + bytes([value]) + raw[at + 1 :])
            try:
                opened(path).describe()
            except IntactError as error:
                assert error.code  # noqa: PT017 - either outcome is right
