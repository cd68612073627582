"""The safetensors container: what the reference writes is read exactly, and what contradicts itself is refused by name."""

from __future__ import annotations

import json
import os
import resource
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from tests.counting import growth

from intact.containers import safetensors
from intact.containers.safetensors import SafetensorsContainer
from intact.core.dtype import DTYPES
from intact.errors import Damaged, IntactError
from intact.files.reading import BoundedFile

Write = Callable[[bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes bytes to a file and returns its path."""

    def written(content: bytes) -> Path:
        path = tmp_path / "model.safetensors"
        path.write_bytes(content)
        return path

    return written


def file_bytes(header: Mapping[str, Any] | str | bytes, data: bytes = b"") -> bytes:
    """A file with this header, whatever it says."""
    text = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    """One member of a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def opened(path: Path) -> SafetensorsContainer:
    """The container at a path."""
    return safetensors.open_file(BoundedFile(path))


def test_every_dtype_of_torch_is_read_as_the_reference_reads_it(write: Write) -> None:
    """Names, shapes and bytes must be the writer's, for each element type that the format shares with torch."""
    names = [name for name, row in DTYPES.items() if row.kind != "quantized" and name not in ("complex32", "complex128")]
    tensors = {}
    for name in names:
        dtype = getattr(torch, name)
        raw = torch.arange(64, dtype=torch.uint8) % 2
        tensors[f"a.{name}"] = raw.view(dtype).reshape(2, -1) if name != "bool" else raw.bool().reshape(2, -1)
    path = write(save(tensors))
    container = opened(path)
    described = container.describe().tensors
    assert {key: (info.dtype, info.shape) for key, info in described.items()} == {
        key: (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)) for key, tensor in tensors.items()
    }
    for key, tensor in tensors.items():
        storage = container.record(key).storage
        assert storage is not None
        assert bytes(container.storage_bytes(storage)) == tensor.view(torch.uint8).numpy().tobytes()


def test_records_rebuild_the_tensors_bit_for_bit(write: Write) -> None:
    """Shape, stride and offset of a record must lead to the very values."""
    tensors = {"w": torch.randn(3, 4, 5), "scalar": torch.tensor(2.5), "none": torch.empty(0, 7), "b": torch.arange(6).short()}
    container = opened(write(save(tensors)))
    for key, tensor in tensors.items():
        record = container.record(key)
        assert (record.shape, record.stride, record.contiguous) == (tuple(tensor.shape), tensor.stride(), True)
        assert record.storage is not None
        if tensor.numel():
            flat = torch.frombuffer(container.storage_bytes(record.storage), dtype=tensor.dtype)
            assert torch.equal(flat.as_strided(record.shape, record.stride, record.offset), tensor)
    assert container.objects()["w"] is container.record("w")


def test_the_head_of_the_report_says_what_the_file_is(write: Write) -> None:
    """Size, writer and the absence of checksums belong to every report."""
    path = write(save({"w": torch.zeros(2)}, metadata={"format": "pt", "note": "x" * 1000}))
    container = opened(path)
    source, described = container.source, container.describe()
    assert (source.container, source.size_bytes, source.files) == ("safetensors", path.stat().st_size, ("model.safetensors",))
    assert source.writer.evidence == "__metadata__ says format: pt"
    assert source.integrity.kind == "none"
    assert not described.meaningful_order
    texts = {extra.path: extra.text for extra in described.extras}
    assert texts["__metadata__.format"] == "pt"
    assert texts["__metadata__.note"].endswith("… (1,000 characters)")
    assert container.notes == ()


def test_tensors_are_listed_in_the_order_of_their_bytes(write: Write) -> None:
    """A header may list them in any order; one order for the same file keeps reports stable."""
    header = {"z": entry("U8", [2], 2, 4), "a": entry("U8", [1], 4, 5), "m": entry("U8", [2], 0, 2)}
    assert list(opened(write(file_bytes(header, bytes(5)))).describe().tensors) == ["m", "z", "a"]


def test_bytes_behind_the_last_tensor_are_noted_and_everything_is_readable(write: Write) -> None:
    """Other readers call this truncated; every tensor is whole."""
    container = opened(write(save({"w": torch.ones(4)}) + bytes(188)))
    assert [note.code for note in container.notes] == ["file/trailing-bytes"]
    assert "188 bytes" in str(container.notes[0])
    storage = container.record("w").storage
    assert storage is not None
    assert bytes(container.storage_bytes(storage)) == torch.ones(4).numpy().tobytes()


def test_a_cut_file_says_how_many_tensors_are_whole(write: Write) -> None:
    """The first question after a cut download is what is still there."""
    content = save({name: torch.ones(100) for name in "abcd"})
    with pytest.raises(Damaged, match="600 are missing; 2 of 4 tensors are whole") as caught:
        opened(write(content[:-600]))
    assert caught.value.code == "file/truncated"
    assert (caught.value.evidence["whole_tensors"], caught.value.evidence["first_cut"]) == (2, "c")


def test_a_cut_within_the_header_is_truncation_too(write: Write) -> None:
    """A file can end before its header does."""
    with pytest.raises(Damaged) as caught:
        opened(write(save({"w": torch.ones(100)})[:40]))
    assert caught.value.code == "file/truncated"


F32 = entry("F32", [2], 0, 8)
BAD_HEADERS: dict[str, tuple[bytes, str]] = {
    "overlap": (file_bytes({"a": entry("U8", [8], 0, 8), "b": entry("U8", [8], 4, 12)}, bytes(12)), "`a` and `b` overlap"),
    "same range": (file_bytes({"a": F32, "b": F32}, bytes(8)), "overlap"),
    "gap": (file_bytes({"a": F32, "b": entry("U8", [1], 9, 10)}, bytes(10)), "`b` begins 1 bytes behind the end of `a`"),
    "gap at the begin": (file_bytes({"a": entry("U8", [1], 1, 2)}, bytes(2)), "behind the end of the header"),
    "shape": (file_bytes({"a": entry("F32", [3], 0, 8)}, bytes(8)), "`a`: shape .* takes 12 bytes, .* holds 8"),
    "backwards": (file_bytes({"a": entry("U8", [0], 8, 0)}, bytes(8)), "`a`: shape"),
    "dtype": (file_bytes({"a": entry("F33", [2], 0, 8)}, bytes(8)), "`a`: the dtype 'F33'"),
    "huge product": (file_bytes({"a": entry("F32", [2**62, 2**62], 0, 8)}, bytes(8)), "more elements than any file"),
    "huge size": (file_bytes({"a": entry("F32", [2**70], 0, 8)}, bytes(8)), "`a`: "),
    "many dimensions": (file_bytes({"a": entry("U8", [1] * 65, 0, 1)}, bytes(1)), "`a`: "),
    "negative": (file_bytes({"a": entry("F32", [-2], 0, 8)}, bytes(8)), "`a`: "),
    "fraction": (file_bytes('{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}', bytes(1)), "`a`: "),
    "truth": (file_bytes('{"a":{"dtype":"U8","shape":[true],"data_offsets":[0,1]}}', bytes(1)), "`a`: "),
    "three offsets": (file_bytes('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}}', bytes(1)), "`a`: "),
    "a field missing": (file_bytes('{"a":{"shape":[1],"data_offsets":[0,1]}}', bytes(1)), "`a`: "),
    "half a byte": (file_bytes({"a": entry("F4", [3], 0, 1)}, bytes(1)), "takes 12 bits"),
    "a key twice": (
        file_bytes(
            '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}', b"1"
        ),
        "`a` stands there twice",
    ),
    "a key twice, once escaped": (
        file_bytes(
            '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\\u0061":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}',
            b"1",
        ),
        "`a` stands there twice",
    ),
    "a field twice": (
        file_bytes('{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}', b"1"),
        "`a`: .*`dtype`.*twice",
    ),
    "a metadata name twice": (file_bytes('{"__metadata__":{"a":"1","a":"2"}}'), "`a` stands there twice"),
    "metadata no text": (file_bytes({"__metadata__": {"step": 3}}), "`__metadata__` is no mapping"),
    "no object": (file_bytes("{]"), "no valid JSON object"),
    "something behind": (file_bytes("{} {}"), "no valid JSON object"),
    "not UTF-8": (file_bytes(b'{"\xff":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'), "no valid JSON object"),
    "half a surrogate": (file_bytes('{"\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'), "no valid JSON object"),
    "nested deeply": (file_bytes('{"a":' + "[" * 100_000 + "]" * 100_000 + "}"), "nested too deeply"),
    "longer than allowed": (struct.pack("<Q", 100_000_001) + b'{"a"', "100000001 bytes of itself"),
}


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_a_header_that_contradicts_itself_is_refused_and_the_place_is_named(case: str, write: Write) -> None:
    """A reader that accepts one of these reads other values than another reader does."""
    content, message = BAD_HEADERS[case]
    with pytest.raises(Damaged, match=message) as caught:
        opened(write(content))
    assert caught.value.code == "file/bad-header"
    assert caught.value.help


def test_all_contradictions_are_reported_at_once(write: Write) -> None:
    """Whoever repairs an exporter wants the whole list."""
    header = {name: entry("F32", [1], 0, 8) for name in "abc"}
    with pytest.raises(Damaged, match="and 2 more") as caught:
        opened(write(file_bytes(header, bytes(8))))
    assert caught.value.evidence["problem_count"] == 3


def test_what_other_readers_accept_is_accepted(write: Write) -> None:
    """Padding, an unknown member of an entry, escapes and an empty set of tensors are all within the format."""
    header = '{"\\u0061\\"":{"shape":[1],"data_offsets":[0,1],"dtype":"U8","note":"x"},"__metadata__":{"a":"\\"q\\""}}   '
    container = opened(write(file_bytes(header, b"7")))
    assert list(container.describe().tensors) == ['a"']
    assert list(opened(write(file_bytes("{}"))).describe().tensors) == []


def test_four_bit_numbers_are_counted_as_torch_counts_them(write: Write) -> None:
    """The file counts them one by one, torch counts bytes that hold two."""
    container = opened(write(file_bytes({"a": entry("F4", [4, 8], 0, 16), "b": entry("F4", [2, 1], 16, 17)}, bytes(17))))
    described = container.describe().tensors
    assert (described["a"].dtype, described["a"].shape) == ("float4_e2m1fn_x2", (4, 4))
    assert (described["b"].dtype, described["b"].shape) == ("F4", (2, 1))


def test_a_key_of_any_length_stays_out_of_the_way_of_messages(write: Write) -> None:
    """A hostile key must not fill a terminal or steer it."""
    header = {"\x1b[31m" + "k" * 100_000: entry("F32", [3], 0, 8)}
    with pytest.raises(Damaged) as caught:
        opened(write(file_bytes(header, bytes(8))))
    assert len(str(caught.value)) < 2_000
    assert "\x1b" not in str(caught.value)


def test_a_file_of_five_gigabytes_is_described_without_its_data(tmp_path: Path) -> None:
    """Inspecting must not depend on the size of the file."""
    size = 5 << 30
    path = tmp_path / "large.safetensors"
    with path.open("wb") as stream:
        stream.write(file_bytes({"w": entry("F32", [size // 4], 0, size)}))
        stream.truncate(stream.tell() + size)
    if os.stat(path).st_blocks * 512 > 1 << 20:
        pytest.skip("the file system holds no sparse files")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, calls_read()
    described = opened(path).describe()
    pages, calls = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before[0], calls_read() - before[1]
    assert described.tensors["w"].shape == (size // 4,)
    assert pages < 5_000  # its data are 1,310,720 of them
    assert calls < 1 << 20


def calls_read() -> int:
    """Returns how many bytes this process has read by system calls; 0 where the system does not count them."""
    try:
        counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text("ascii").splitlines())
    except OSError:
        return 0
    return int(counts["rchar"])


def test_the_work_of_describing_grows_with_the_number_of_tensors(write: Write) -> None:
    """Twenty thousand tensors are a normal file."""

    def described(count: int) -> None:
        header = {f"model.layers.{i}.weight": entry("F32", [16], i * 64, i * 64 + 64) for i in range(count)}
        assert len(opened(write(file_bytes(header, bytes(count * 64)))).describe().tensors) == count

    assert growth(described, 250) < 5
    described(20_000)


SAMPLE = save(
    {"model.a": torch.arange(6.0).reshape(2, 3), "model.b": torch.arange(5, dtype=torch.int16)}, metadata={"format": "pt"}
)
SAMPLE_HEADER_END = 8 + struct.unpack("<Q", SAMPLE[:8])[0]

edits = st.lists(
    st.tuples(st.integers(0, SAMPLE_HEADER_END - 1), st.one_of(st.integers(0, 255), st.sampled_from(b'{}[]",:0123456789-\\'))),
    min_size=1,
    max_size=6,
)


@settings(max_examples=400, deadline=None)
@given(edits=edits, cut=st.integers(0, 40))
def test_a_mutated_header_is_read_as_the_reference_reads_it_or_refused(
    edits: list[tuple[int, int]], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Never another error than ours; and what we accept without a note, the reference reads with the same keys and shapes."""
    content = bytearray(SAMPLE)
    for position, value in edits:
        content[position] = value
    path = tmp_path_factory.getbasetemp() / "mutated.safetensors"
    path.write_bytes(content[: len(content) - max(0, cut - 30)])
    try:
        container = opened(path)
        described = container.describe()
        for info in described.tensors.values():
            storage = container.record(info.key).storage
            assert storage is not None
            assert len(container.storage_bytes(storage)) == storage.size_bytes
    except IntactError:
        return
    if not container.notes:
        reference = load_file(path)
        assert {key: tuple(tensor.shape) for key, tensor in reference.items()} == {
            key: info.shape for key, info in described.tensors.items()
        }


documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "dtype", "shape", "data_offsets", "__metadata__"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(document=documents)
def test_any_json_is_a_header_or_a_typed_error(document: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The header is the one part of the format that a person can write anything into."""
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(file_bytes(json.dumps(document), bytes(64)))
    try:
        keys = set(opened(path).describe().tensors)
    except IntactError as error:
        event(error.code)
    else:
        assert keys <= set(document)


def test_the_reference_refuses_what_we_refuse(write: Write) -> None:
    """What we call bad the reference refuses too, but for repeated names, where we are stricter."""
    lenient = {name for name in BAD_HEADERS if "twice" in name} | {"many dimensions"}
    for name, (content, _) in BAD_HEADERS.items():
        if name not in lenient:
            with pytest.raises(SafetensorError):
                load_file(write(content))
