"""Sharded sets: the index says where keys should be, the shards say where they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from intact.containers import open_container, sharded
from intact.containers.ownership import Ownership
from intact.core.container import Container, Foreign, TensorRecord
from intact.errors import CannotRead, Damaged, IntactError

NAME = "model-{:05d}-of-00003.safetensors"
KEYS = {f"layers.{i}.{leaf}": i for i in range(3) for leaf in ("weight", "bias")}


def weights() -> dict[str, torch.Tensor]:
    """Six tensors of three layers, the same at each call."""
    generator = torch.Generator().manual_seed(3)
    return {key: torch.randn(4, 3, generator=generator) for key in KEYS}


def write_index(folder: Path, weight_map: Mapping[str, Any], metadata: object = None, name: str = "model.safetensors") -> Path:
    """Writes an index file."""
    path = folder / f"{name}.index.json"
    path.write_text(json.dumps({"metadata": metadata or {"total_size": 288}, "weight_map": weight_map}))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete set of three shards with its index."""
    every = weights()
    for i in range(3):
        save_file(
            {key: every[key] for key, at in KEYS.items() if at == i}, tmp_path / NAME.format(i + 1), metadata={"format": "pt"}
        )
    write_index(tmp_path, {key: NAME.format(at + 1) for key, at in KEYS.items()})
    return tmp_path


def values(container: Container) -> dict[str, torch.Tensor]:
    """Every tensor of a container, rebuilt from bytes."""
    rebuilt = {}
    for key in container.describe().tensors:
        record = container.record(key)
        assert record.storage is not None
        flat = torch.frombuffer(bytearray(container.storage_bytes(record.storage)), dtype=getattr(torch, record.dtype))
        rebuilt[key] = flat.as_strided(record.shape, record.stride, record.offset)
    return rebuilt


def assert_complete(container: Container) -> None:
    """All six tensors are there, bit for bit."""
    found, wanted = values(container), weights()
    assert set(found) == set(wanted)
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def codes(container: Container) -> list[str]:
    """Codes of the notes of a container."""
    return [note.code for note in getattr(container, "notes", ())]


def test_the_index_and_the_folder_lead_to_the_same_set(folder: Path) -> None:
    """People name either; both are the checkpoint."""
    for path in (folder, folder / "model.safetensors.index.json"):
        with closing(open_container(path)) as container:
            assert_complete(container)
            assert container.source.container == "sharded"
            assert container.source.files == ("model.safetensors.index.json", *(NAME.format(i) for i in (1, 2, 3)))
            assert container.source.size_bytes == sum(file.stat().st_size for file in folder.iterdir())
            assert codes(container) == []


def test_a_shard_by_itself_opens_as_itself(folder: Path) -> None:
    """One file of a set is a file, and may be all that somebody wants to look at."""
    with closing(open_container(folder / NAME.format(2))) as container:
        assert (container.source.container, len(container.describe().tensors)) == ("safetensors", 2)


def test_objects_are_one_mapping_whose_storages_know_their_file(folder: Path) -> None:
    """Two shards may use one storage name; the file tells them apart."""
    with closing(open_container(folder)) as container:
        objects = container.objects()
        assert set(objects) == set(KEYS)
        for key, record in objects.items():
            assert isinstance(record, TensorRecord)
            assert record.storage is not None
            assert record.storage.file == NAME.format(KEYS[key] + 1)
            assert record is container.record(key)


def test_a_set_larger_than_the_number_of_open_files_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand shards must not need a thousand descriptors."""
    monkeypatch.setattr(sharded, "OPEN_SHARDS", 1)
    with closing(open_container(folder)) as container:
        assert_complete(container)
        assert container.record("layers.0.weight") is container.objects()["layers.0.weight"]


def test_shards_in_a_folder_below_are_part_of_the_set(folder: Path) -> None:
    """A relative folder in the index is legitimate, and so is a leading `./`."""
    (folder / "parts").mkdir()
    for i in range(3):
        (folder / NAME.format(i + 1)).rename(folder / "parts" / NAME.format(i + 1))
    write_index(folder, {key: f"./parts/{NAME.format(at + 1)}" for key, at in KEYS.items()})
    with closing(open_container(folder)) as container:
        assert_complete(container)
        assert codes(container) == []


def test_links_as_the_cache_of_a_hub_makes_them_are_followed(folder: Path, tmp_path: Path) -> None:
    """A snapshot holds nothing but links into a folder beside it."""
    blobs, snapshot = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "abc"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(path for path in sorted(folder.iterdir()) if path.is_file()):
        file.rename(blobs / f"{number:064x}")
        (snapshot / file.name).symlink_to(Path("..") / ".." / "blobs" / f"{number:064x}")
    with closing(open_container(snapshot)) as container:
        assert_complete(container)


@pytest.mark.parametrize(
    "name",
    ["../secret.safetensors", "/etc/passwd", "a/../../b.safetensors", "..", "C:\\x", "c:x", "a\\..\\b", "a\0b", "\\\\host\\x"],
)
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str, folder: Path) -> None:
    """The index is text from somebody else; joined to a path it would open any file of the user's."""
    write_index(folder, {**{key: NAME.format(at + 1) for key, at in KEYS.items()}, "layers.9.weight": name})
    with pytest.raises(CannotRead) as caught:
        open_container(folder)
    assert caught.value.code == "safety/path-traversal"
    assert caught.value.evidence["name_count"] == 1


def test_missing_shards_are_named_with_the_keys_they_take_along(folder: Path) -> None:
    """One cause, not a list of missing keys."""
    (folder / NAME.format(2)).unlink()
    with pytest.raises(Damaged, match=r"1 of 3 shards is missing.*2 of 6 keys") as caught:
        open_container(folder)
    assert caught.value.code == "file/missing-shard"
    assert caught.value.evidence["missing"] == [NAME.format(2)]
    assert caught.value.evidence["keys"] == ["layers.1.weight", "layers.1.bias"]


def test_links_that_lead_nowhere_are_called_that(folder: Path) -> None:
    """The folder shows the files, so `missing` alone would not be believed."""
    for i in (1, 2, 3):
        (folder / NAME.format(i)).unlink()
        (folder / NAME.format(i)).symlink_to("../blobs/absent")
    with pytest.raises(Damaged, match="links to files that are not there") as caught:
        open_container(folder)
    assert caught.value.code == "file/dangling-link"


def test_an_index_of_another_sharding_is_noted_and_the_keys_are_read(folder: Path) -> None:
    """All keys are there, each once, under other names of files."""
    write_index(folder, {key: f"model-{at + 1:05d}-of-00004.safetensors" for key, at in KEYS.items()})
    with closing(open_container(folder)) as container:
        assert_complete(container)
        (remark,) = container.remarks  # type: ignore[attr-defined]
        assert remark.code == "file/index-mismatch"
        assert "model-00001-of-00004.safetensors" in remark.headline


def test_keys_in_another_shard_than_the_index_says_are_found_and_noted(folder: Path) -> None:
    """Headers are right, an index may be stale."""
    write_index(folder, {key: NAME.format((at + 1) % 3 + 1) for key, at in KEYS.items()})
    with closing(open_container(folder)) as container:
        assert_complete(container)
        assert codes(container) == ["file/index-mismatch"]


def test_keys_that_the_index_does_not_list_are_read_and_noted(folder: Path) -> None:
    """Readers that follow the index lose them without a word."""
    write_index(folder, {key: NAME.format(at + 1) for key, at in KEYS.items() if key != "layers.1.bias"})
    with closing(open_container(folder)) as container:
        assert_complete(container)
        assert codes(container) == ["file/index-mismatch"]


def test_keys_that_no_shard_holds_are_an_error_that_names_them(folder: Path) -> None:
    """The index promises what is nowhere: files of two saves."""
    write_index(folder, {**{key: NAME.format(at + 1) for key, at in KEYS.items()}, "head.weight": NAME.format(3)})
    with pytest.raises(Damaged, match=r"1 key that no shard holds: `head.weight`") as caught:
        open_container(folder)
    assert caught.value.code == "file/index-mismatch"


def test_the_index_decides_between_two_shards_with_the_same_key(folder: Path) -> None:
    """Both hold it; the set means one."""
    every = weights()
    part = {key: every[key] for key, at in KEYS.items() if at == 2}
    save_file({**part, "layers.0.bias": torch.zeros(4, 3)}, folder / NAME.format(3), metadata={"format": "pt"})
    with closing(open_container(folder)) as container:
        assert_complete(container)


def test_all_shards_that_cannot_be_read_stand_in_one_error(folder: Path) -> None:
    """Downloading one after the other, with an error each time, costs an afternoon."""
    for i in (1, 3):
        content = bytearray((folder / NAME.format(i)).read_bytes())
        content[:64] = bytes(64)
        (folder / NAME.format(i)).write_bytes(content)
    with pytest.raises(Damaged, match=r"2 of 3 shards cannot be read: `model-00001.*`model-00003") as caught:
        open_container(folder)
    assert caught.value.code == "file/bad-header"
    assert set(caught.value.evidence["shards"]) == {NAME.format(1), NAME.format(3)}


def test_a_left_over_shard_of_an_earlier_save_is_pointed_out(folder: Path) -> None:
    """Programs that read every file of a folder take its old values."""
    save_file({"layers.2.bias": torch.zeros(4, 3)}, folder / "model-00004-of-00004.safetensors")
    with closing(open_container(folder)) as container:
        assert_complete(container)
        assert codes(container) == ["file/mixed-shards"]


def test_shards_that_tell_different_steps_are_pointed_out(folder: Path) -> None:
    """Each file is fine for itself; only what they say of themselves disagrees."""
    every = weights()
    for i in range(3):
        part = {key: every[key] for key, at in KEYS.items() if at == i}
        save_file(part, folder / NAME.format(i + 1), metadata={"global_step": str(1000 + i // 2)})
    with closing(open_container(folder)) as container:
        (note,) = container.notes  # type: ignore[attr-defined]
        assert note.code == "file/mixed-shards"
        assert "`global_step` is 1000 in" in note.message
        assert "1001 in" in note.message
        paths = [extra.path for extra in container.describe().extras]
        assert f"{NAME.format(3)}: __metadata__.global_step" in paths


def test_notes_of_a_shard_are_notes_of_the_set(folder: Path) -> None:
    """What is irregular in one file must not be lost."""
    with (folder / NAME.format(1)).open("ab") as stream:
        stream.write(bytes(16))
    with closing(open_container(folder)) as container:
        assert_complete(container)
        assert codes(container) == ["file/trailing-bytes"]


BAD_INDEXES: dict[str, str] = {
    "no weight map": '{"metadata": {}}',
    "empty": '{"weight_map": {}}',
    "a list": '{"weight_map": ["a"]}',
    "a number for a name": '{"weight_map": {"a": 3}}',
    "an empty name": '{"weight_map": {"a": ""}}',
    "a long name": '{"weight_map": {"a": "%s"}}' % ("x" * 5000),
    "a key twice": '{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}',
    "two maps": '{"weight_map": {"a": "x.safetensors"}, "weight_map": {"a": "y.safetensors"}}',
    "cut": '{"weight_map": {"a": "x.safe',
    "many shards": json.dumps({"weight_map": {str(i): f"{i}.safetensors" for i in range(10_001)}}),
}


@pytest.mark.parametrize("case", BAD_INDEXES)
def test_an_index_of_another_form_is_refused(case: str, tmp_path: Path) -> None:
    """It is text, and may be any."""
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(BAD_INDEXES[case])
    with pytest.raises(Damaged, match="the index is not valid") as caught:
        open_container(path)
    assert caught.value.code == "file/bad-header"


def test_an_index_that_names_itself_is_no_endless_loop(tmp_path: Path) -> None:
    """A set of sets would recurse."""
    path = write_index(tmp_path, {"a": "model.safetensors.index.json"})
    with pytest.raises(CannotRead, match=r"shard `model\.safetensors.index.json`"):
        open_container(path)


def test_a_name_longer_than_the_file_system_allows_is_a_missing_shard(tmp_path: Path) -> None:
    """Asking for such a file is an error of the system."""
    with pytest.raises(Damaged) as caught:
        open_container(write_index(tmp_path, {"a": "x" * 1000}))
    assert caught.value.code == "file/missing-shard"


def test_shards_that_torch_wrote_are_read_with_their_ties(tmp_path: Path) -> None:
    """`pytorch_model.bin` sets are zip files, in which two keys may share memory."""
    shared = torch.randn(4, 3)
    torch.save({"embed.weight": shared, "lm_head.weight": shared}, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save({"norm.weight": torch.ones(3)}, tmp_path / "pytorch_model-00002-of-00002.bin")
    weight_map = dict.fromkeys(("embed.weight", "lm_head.weight"), "pytorch_model-00001-of-00002.bin")
    write_index(tmp_path, {**weight_map, "norm.weight": "pytorch_model-00002-of-00002.bin"}, name="pytorch_model.bin")
    with closing(open_container(tmp_path)) as container:
        assert container.describe().ties == (("embed.weight", "lm_head.weight"),)
        assert container.record("embed.weight").memory == container.record("lm_head.weight").memory
        assert container.record("embed.weight").memory != container.record("norm.weight").memory
        found = values(container)
        assert torch.equal(found["lm_head.weight"], shared)
        assert torch.equal(found["norm.weight"], torch.ones(3))


def test_entries_that_lead_back_to_themselves_are_followed_once() -> None:
    """A shard is a pickle in one of its forms, and a pickle may hold any graph of objects."""
    loop: list[Any] = []
    loop.append(loop)
    record = TensorRecord(None, "float32", (1,), (1,))
    foreign = Foreign("some.Class", args=(record, loop))
    foreign.state = {"self": foreign, "pair": (record, record)}
    own = Ownership("shard.bin").of(foreign)
    assert own.state["self"] is own
    assert own.args[1][0] is own.args[1]
    assert own.args[0] is own.state["pair"][0]


ENTRIES = st.sampled_from([*KEYS, "other", ""])
FILES = st.sampled_from(
    [*(NAME.format(i) for i in (1, 2, 3, 4)), ".", "model.safetensors.index.json", "../x", "parts/x", "\ud7ff"]
)


@settings(max_examples=150, deadline=None)
@given(
    weight_map=st.dictionaries(ENTRIES, FILES | st.integers() | st.none(), max_size=7),
    metadata=st.none() | st.integers() | st.lists(st.none()),
)
def test_any_index_beside_real_shards_is_a_set_or_a_typed_error(
    weight_map: dict[str, Any], metadata: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the map says, the answer is a readable set or an error of ours."""
    folder = tmp_path_factory.getbasetemp() / "any-index"
    if not folder.exists():
        folder.mkdir()
        for i in range(3):
            save_file({key: value for key, value in weights().items() if KEYS[key] == i}, folder / NAME.format(i + 1))
    path = write_index(folder, weight_map, metadata)
    try:
        container = open_container(path)
    except IntactError as error:
        event(error.code)
        return
    with closing(container):
        found, wanted = values(container), weights()
        assert all(torch.equal(found[key], wanted[key]) for key in found)
