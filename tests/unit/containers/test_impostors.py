"""Files that are no checkpoints: each is named for what it is, with the right code and something to do."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import random
import sqlite3
import struct
import tarfile
import wave
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st
from safetensors.torch import save as save_safetensors

import intact
from intact.containers import open_container
from intact.containers.impostors import SIGNATURES
from intact.errors import CannotRead, Damaged, IntactError, NotACheckpoint


def torch_zip() -> bytes:
    """What `torch.save` writes."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(6000.0) * 1.1}, buffer)
    return buffer.getvalue()


def zip_of(*members: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_of(*members: tuple[str, bytes], mode: str = "w", form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def sqlite(folder: Path) -> bytes:
    """A database."""
    with sqlite3.connect(folder / "db") as connection:
        connection.execute("create table a (b)")
    connection.close()
    return (folder / "db").read_bytes()


def wav() -> bytes:
    """A sound."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(100))
    return buffer.getvalue()


def numpy_bytes(save: Callable[[io.BytesIO], None]) -> bytes:
    """What numpy writes."""
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


def onnx() -> bytes:
    """A graph as PyTorch exports it: version, producer, graph, operator set."""

    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    return b"\x08\x08" + field(2, b"pytorch") + field(3, b"2.6.0") + field(7, field(2, b"main_graph")) + field(8, b"\x10\x11")


S3_ERROR = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"ab" * 32 + b"\nsize 12345678\n"
HTML = (
    b"\n <!DOCTYPE html><html><head><title>Google Drive - Quota &amp; more</title></head><body>"
    + b"<div/>" * 99
    + b"</body></html>"
)

# name: (content, code, words that must stand in the error)
CASES: dict[str, tuple[bytes, str, tuple[str, ...]]] = {
    "empty": (b"", "file/empty", ("0 bytes",)),
    "web page": (HTML, "file/web-page", ("web page", "Google Drive - Quota & more")),
    "web page with a mark and a comment": (b"\xef\xbb\xbf<!-- x --><html><body>no</body></html>", "file/web-page", ("web page",)),
    "git-lfs pointer": (LFS, "file/lfs-pointer", ("12345678", "git lfs pull")),
    "git-annex pointer": (b"/annex/objects/SHA256E-s100--abc.pth\n", "file/lfs-pointer", ("git annex get",)),
    "DVC pointer": (b"outs:\n- md5: 0123\n  size: 10\n  path: m.pth\n", "file/lfs-pointer", ("dvc pull",)),
    "S3 error": (S3_ERROR, "file/web-page", ("AccessDenied: Access Denied",)),
    "JSON error": (b'{"error": "Repository not found"}', "file/web-page", ("Repository not found",)),
    "JSON error, nested": (b'{"error": {"code": 404, "message": "gone"}}', "file/web-page", ("404", "gone")),
    "configuration": (b'{"hidden_size": 768, "layers": [1, 2]}', "file/not-a-checkpoint", ("a JSON file",)),
    "XML": (b"<?xml version='1.0'?><annotation><a/></annotation>", "file/not-a-checkpoint", ("an XML file",)),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "file/not-a-checkpoint", ("SVG",)),
    "YAML": (b"model:\n  layers: 3\n  width: 10\nname: x\n", "file/not-a-checkpoint", ("a YAML file",)),
    "text": (b"Put the weights into ./data and run again.\n", "file/not-a-checkpoint", ("a text file",)),
    "Python": (b"import torch\n\ndef f():\n    return 1\n", "file/not-a-checkpoint", ("program source",)),
    "script": (b"#!/bin/sh\nwget x\n", "file/not-a-checkpoint", ("program source",)),
    "TensorFlow checkpoint file": (b'model_checkpoint_path: "model.ckpt-1"\n', "file/not-a-checkpoint", ("TensorFlow",)),
    "GGUF": (b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(64), "file/foreign-format", ("GGUF",)),
    "ONNX": (onnx(), "file/foreign-format", ("ONNX",)),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "file/foreign-format", ("HDF5", "Keras")),
    "npy": (numpy_bytes(lambda b: np.save(b, np.ones(3))), "file/foreign-format", ("numpy array",)),
    "npz": (
        numpy_bytes(lambda b: np.savez(b, a=np.ones(3), b=np.ones(1))),
        "file/foreign-format",
        ("numpy archive (.npz) of 2",),
    ),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(50), "file/foreign-format", ("PNG",)),
    "JPEG": (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(50), "file/foreign-format", ("JPEG",)),
    "WAV": (wav(), "file/foreign-format", ("WAV",)),
    "MP4": (b"\0\0\0\x20ftypisom" + bytes(50), "file/foreign-format", ("film",)),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\n" + bytes(50), "file/foreign-format", ("PDF",)),
    "ELF": (b"\x7fELF\x02\x01\x01" + bytes(50), "file/foreign-format", ("ELF",)),
    "Parquet": (b"PAR1" + bytes(50) + b"PAR1", "file/foreign-format", ("Parquet",)),
    "AppleDouble": (b"\x00\x05\x16\x07\x00\x02\x00\x00" + bytes(80), "file/foreign-format", ("macOS", "._")),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3" + bytes(50), "file/foreign-format", ("TensorFlow Lite",)),
    "TensorFlow index": (bytes(range(1, 50)) + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb", "file/foreign-format", ("TensorFlow",)),
    "gzip": (gzip.compress(torch_zip()), "file/wrapped-archive", ("gzip", "torch zip", "gunzip")),
    "bzip2": (bz2.compress(torch_zip()), "file/wrapped-archive", ("bzip2", "torch zip")),
    "xz": (lzma.compress(torch_zip()), "file/wrapped-archive", ("xz", "torch zip")),
    "zlib": (zlib.compress(pickle.dumps({"a": 1})), "file/wrapped-archive", ("zlib", "pickle")),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(40), "file/wrapped-archive", ("zstd",)),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(40), "file/wrapped-archive", ("7z",)),
    "rar": (b"Rar!\x1a\x07\x01\x00" + bytes(40), "file/wrapped-archive", ("rar",)),
    "cut gzip": (gzip.compress(torch_zip())[:30], "file/wrapped-archive", ("gzip",)),
    "zip with a checkpoint": (
        zip_of(("readme.txt", b"hello"), ("sub/model.pth", torch_zip())),
        "file/wrapped-archive",
        ("zip archive", "sub/model.pth", "torch zip"),
    ),
    "zip with safetensors": (
        zip_of(("a.safetensors", save_safetensors({"w": torch.ones(2)})), compression=zipfile.ZIP_STORED),
        "file/wrapped-archive",
        ("a.safetensors", "(safetensors)"),
    ),
    "zip without a checkpoint": (zip_of(("a.txt", b"hello"), ("b.txt", b"world")), "file/not-a-checkpoint", ("of 2 files",)),
    "empty zip": (zip_of(), "file/not-a-checkpoint", ("of 0 files",)),
    "cut zip": (zip_of(("a.txt", b"hello"))[:-30], "file/truncated", ("archive",)),
    "zip that leads outside": (zip_of(("../../x.pth", torch_zip())), "safety/path-traversal", ("../../x.pth",)),
    "tar with a checkpoint": (
        tar_of(("w/README.md", b"hello"), ("w/best", torch_zip())),
        "file/wrapped-archive",
        ("tar archive", "w/best", "torch zip"),
    ),
    "ustar tar": (tar_of(("d" * 120 + "/best", torch_zip()), form=tarfile.USTAR_FORMAT), "file/wrapped-archive", ("d/best",)),
    "tar.gz": (tar_of(("w/best.pth", torch_zip()), mode="w:gz"), "file/wrapped-archive", ("gzip-compressed tar", "w/best.pth")),
    "tar.xz": (tar_of(("w/best.pth", torch_zip()), mode="w:xz"), "file/wrapped-archive", ("xz-compressed tar", "w/best.pth")),
    "tar that leads outside": (tar_of(("/etc/x", b"x"), mode="w:gz"), "safety/path-traversal", ("/etc/x",)),
    "tar without a checkpoint": (tar_of(("a.txt", b"hello")), "file/not-a-checkpoint", ("of 1 files",)),
    "TorchServe archive": (
        zip_of(("MAR-INF/MANIFEST.json", b'{"model": {"serializedFile": "model.pt"}}'), ("model.pt", torch_zip())),
        "file/wrapped-archive",
        ("TorchServe", "MANIFEST.json"),
    ),
    "Stable-Baselines3": (
        zip_of(("data", b"{}"), ("policy.pth", torch_zip()), ("_stable_baselines3_version", b"1")),
        "file/wrapped-archive",
        ("Stable-Baselines3", "policy.pth"),
    ),
    "Keras": (zip_of(("config.json", b"{}"), ("model.weights.h5", b"x")), "file/foreign-format", ("Keras",)),
    "Office": (zip_of(("[Content_Types].xml", b"x")), "file/foreign-format", ("Office",)),
    "wheel": (zip_of(("a-1.dist-info/RECORD", b"x")), "file/foreign-format", ("wheel",)),
    "zeros": (bytes(5000), "file/bad-header", ("all of its 5000 bytes are zero",)),
    "first block zero": (bytes(4096) + torch_zip()[4096:], "file/bad-header", ("begins with", "zero bytes")),
    "as text": (torch_zip().decode("utf-8", "replace").encode(), "file/text-mode-transfer", ("EF BF BD",)),
    "as latin": (torch_zip().decode("latin-1").encode(), "file/text-mode-transfer", ("one byte became two",)),
    "with carriage returns": (
        random.Random(1).randbytes(40_000).replace(b"\n", b"\r\n"),
        "file/text-mode-transfer",
        ("carriage return before",),
    ),
    "noise": (b"\xfe" + random.Random(1).randbytes(500), "file/not-a-checkpoint", ("begins with the bytes fe",)),
}


OPENED = {
    "gzip": ("gzip", "torch-zip"),
    "bzip2": ("bzip2", "torch-zip"),
    "xz": ("xz", "torch-zip"),
    "zlib": ("zlib", "pickle"),
    "zip with a checkpoint": ("zip archive", "sub/model.pth", "torch-zip"),
    "zip with safetensors": ("zip archive", "a.safetensors"),
    "tar with a checkpoint": ("tar archive", "w/best"),
    "ustar tar": ("tar archive", "d/best"),
    "tar.gz": ("gzip", "w/best.pth"),
    "tar.xz": ("xz", "w/best.pth"),
    "TorchServe archive": ("zip archive", "model.pt"),
    "Stable-Baselines3": ("zip archive", "policy.pth"),
}
"""Archives around one checkpoint, and what is said of them."""


@pytest.mark.parametrize("case", sorted(OPENED))
def test_a_checkpoint_inside_an_archive_is_opened_there(case: str, tmp_path: Path) -> None:
    """People load what they downloaded."""
    path = tmp_path / "model.pth"
    path.write_bytes(CASES[case][0])
    with closing(open_container(path)) as container:
        said = [remark for remark in getattr(container, "remarks", ()) if remark.code == "file/wrapped-archive"]
        assert said, case
        assert all(remark.opened for remark in said)
        text = " ".join(f"{remark.headline} {dict(remark.evidence)}" for remark in said)
        assert all(word in text for word in OPENED[case]), text
        assert container.source.path == str(path)


@pytest.mark.parametrize("case", [case for case in CASES if case not in OPENED])
def test_what_is_no_checkpoint_is_named_for_what_it_is(case: str, tmp_path: Path) -> None:
    """`Unsupported operand 60` is what people get otherwise."""
    content, code, words = CASES[case]
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(CannotRead) as caught:
        open_container(path)
    text = f"{caught.value} {caught.value.evidence}"
    assert caught.value.code == code, text
    assert all(word in text for word in words), text
    assert caught.value.path == str(path)
    assert caught.value.help


def test_a_database_is_named(tmp_path: Path) -> None:
    """It takes a file to write one, so it stands apart."""
    path = tmp_path / "model.bin"
    path.write_bytes(sqlite(tmp_path))
    with pytest.raises(NotACheckpoint, match="SQLite"):
        open_container(path)


def test_archives_that_torch_writes_for_other_readers_are_named_and_read(tmp_path: Path) -> None:
    """TorchScript and exported programs are zips of torch, with weights in another layout."""
    model = torch.nn.Linear(3, 2)
    torch.jit.trace(model, torch.ones(1, 3)).save(str(tmp_path / "script.pt"))  # type: ignore[no-untyped-call]
    torch.export.save(torch.export.export(model, (torch.ones(1, 3),)), tmp_path / "program.pt2")
    for name, code in (("script.pt", "file/torchscript-archive"), ("program.pt2", "file/exported-program")):
        report = intact.check(tmp_path / name, torch.nn.Linear(3, 2))
        assert [finding.code for finding in report.findings] == [code]
        assert report.verdict == "repairable"
        fresh = torch.nn.Linear(3, 2)
        intact.load_into(fresh, tmp_path / name)
        assert all(torch.equal(value, model.state_dict()[key]) for key, value in fresh.state_dict().items())


@pytest.mark.parametrize("suffix", [".part", ".crdownload", ".filepart", ".aria2", ".incomplete"])
def test_the_name_of_an_unfinished_download_is_a_hint_and_no_proof(suffix: str, tmp_path: Path) -> None:
    """The bytes decide; the name only helps to explain."""
    whole = tmp_path / f"model.safetensors{suffix}"
    whole.write_bytes(save_safetensors({"w": torch.ones(9)}))
    open_container(whole).close()
    whole.write_bytes(whole.read_bytes()[:-8])
    with pytest.raises(Damaged, match="unfinished transfer") as caught:
        open_container(whole)
    assert caught.value.code == "file/truncated"


def test_the_better_cause_of_a_damaged_file_wins(tmp_path: Path) -> None:
    """A zip converted as text looks truncated to its reader; fetching it again the same way would not help."""
    path = tmp_path / "model.pth"
    path.write_bytes(torch_zip().decode("utf-8", "replace").encode())
    with pytest.raises(Damaged) as caught:
        open_container(path)
    assert caught.value.code == "file/text-mode-transfer"
    assert caught.value.evidence["as_read"]


def test_a_damaged_binary_file_is_not_taken_for_converted_text(tmp_path: Path) -> None:
    """Look-alike: truncation alone must stay truncation."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(save_safetensors({"w": torch.randn(9000)})[:-100])
    with pytest.raises(Damaged) as caught:
        open_container(path)
    assert caught.value.code == "file/truncated"


def test_damage_to_formats_full_of_line_feeds_is_not_taken_for_converted_text(tmp_path: Path) -> None:
    """Pickles name their classes on lines of their own; a flipped bit in one says nothing of line ends."""
    path = tmp_path / "model.pkl"
    state = {f"layer{i}": torch.ones(2) for i in range(200)}
    for content in (pickle.dumps(state, 0), pickle.dumps(state, 2)):
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(Damaged) as caught:
            open_container(path)
        assert caught.value.code != "file/text-mode-transfer"
    path.write_bytes(pickle.dumps(state, 2).replace(b"\n", b"\r\n"))
    with pytest.raises(Damaged) as caught:
        open_container(path)
    assert caught.value.code == "file/text-mode-transfer"


def test_bombs_cost_no_more_than_their_first_bytes(tmp_path: Path) -> None:
    """A gigabyte of zeros in a megabyte must not be unpacked to see what is inside."""
    path = tmp_path / "model.pth"
    compressor = zlib.compressobj(9, wbits=31)
    path.write_bytes(b"".join(compressor.compress(bytes(1 << 24)) for _ in range(32)) + compressor.flush())
    with pytest.raises(NotACheckpoint, match="gzip"):
        open_container(path)


def test_a_checkpoint_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    """It begins as a pickle does, and goes on for half a gigabyte."""
    path = tmp_path / "model.pth"
    compressor = zlib.compressobj(9, wbits=31)
    pieces = [compressor.compress(b"\x80\x02" + bytes(1 << 24)) for _ in range(32)]
    path.write_bytes(b"".join(pieces) + compressor.flush())
    with pytest.raises(NotACheckpoint) as caught:
        open_container(path)
    assert "claims to unpack" in caught.value.evidence["inside_says"]


BASES = {name: content for name, (content, _, _) in CASES.items() if content}


@settings(max_examples=300, deadline=None)
@given(
    base=st.sampled_from(sorted(BASES)),
    edits=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 3000),
)
def test_any_damage_to_an_impostor_ends_in_a_typed_error(
    base: str, edits: list[tuple[int, int]], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Sizes and offsets of archives, protocol buffers and tables come from the file."""
    content = bytearray(BASES[base])
    for position, value in edits:
        content[position % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "impostor.bin"
    path.write_bytes(content[: max(1, len(content) - cut)])
    try:
        open_container(path).close()
    except IntactError as error:
        event(error.code)


documents = st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
).map(lambda value: json.dumps(value).encode())


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=400) | st.text(max_size=300).map(str.encode) | documents)
def test_any_short_file_is_opened_or_named(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever somebody calls a checkpoint."""
    path = tmp_path_factory.getbasetemp() / "short.bin"
    path.write_bytes(content)
    try:
        open_container(path).close()
    except IntactError as error:
        event(error.code)


def test_every_signature_stands_in_the_documentation() -> None:
    """The page is read by people who want to know what is recognised."""
    page = (Path(__file__).parents[3] / "docs" / "formats" / "impostors.md").read_text()
    assert [row.name for row in SIGNATURES if row.name not in page] == []
