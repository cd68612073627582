"""Sealed checkpoints and everybody else's: our files in their readers, theirs in ours, with equal bits on both sides.

The peers are safetensors (torch and numpy), huggingface_hub and transformers, each through the call that its users make.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file as load_numpy
from safetensors.torch import load as load_bytes
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn

import intact

State = dict[str, torch.Tensor]


class Language(nn.Module):
    """A small model with a tied head, a tied pair in the middle of the order, and a buffer of integers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.layers = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 8))
        self.layers[2].weight = self.layers[0].weight
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("positions", torch.arange(5))


def language(seed: int = 0) -> Language:
    """The model with values of its own."""
    torch.manual_seed(seed)
    return Language()


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two state dicts hold the same tensors under the same keys, bit for bit."""
    return set(one) == set(other) and all(
        (one[key].dtype, one[key].shape) == (other[key].dtype, other[key].shape) and torch.equal(one[key], other[key])
        for key in one
    )


def stored(model: nn.Module) -> State:
    """The state dict without the keys that are tied to an earlier one."""
    seen: set[int] = set()
    return {
        key: tensor
        for key, tensor in model.state_dict().items()
        if tensor.data_ptr() not in seen and not seen.add(tensor.data_ptr())  # type: ignore[func-returns-value]
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Our file."""
    intact.save(language(), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Our set of several files."""
    intact.save(language(), tmp_path / "set" / "model.safetensors", max_shard_bytes=400)
    assert len(list((tmp_path / "set").glob("*.safetensors"))) == 2
    return tmp_path / "set"


def test_safetensors_reads_our_file_in_every_way_it_has(path: Path) -> None:
    """Mapped, from bytes, key by key, in slices, and without torch."""
    wanted = stored(language())
    assert same(load_file(path), wanted)
    assert same(load_bytes(path.read_bytes()), wanted)
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == set(wanted)
        assert file.metadata()["format"] == "pt"
        assert torch.equal(file.get_slice("embed.weight")[2:5], wanted["embed.weight"][2:5])
        assert same({key: file.get_tensor(key) for key in file.keys()}, wanted)  # noqa: SIM118 - it is no mapping
    arrays = load_numpy(path)
    assert all((arrays[key] == wanted[key].numpy()).all() and arrays[key].dtype == wanted[key].numpy().dtype for key in wanted)


def test_load_model_of_safetensors_takes_our_file_with_its_tied_keys(path: Path) -> None:
    """It misses no key, because the model of the reader is tied too, and its `strict` stays on."""
    model = language(1)
    missing, unexpected = load_model(model, str(path))
    assert (list(missing), list(unexpected)) == ([], [])
    assert same(model.state_dict(), language().state_dict())
    assert model.head.weight is model.embed.weight


def test_we_read_what_save_model_and_save_file_write(tmp_path: Path) -> None:
    """The convention of tied keys is theirs, and is read by us as it is."""
    save_model(language(), str(tmp_path / "model.safetensors"))
    save_file({key: value.clone() for key, value in language().state_dict().items()}, tmp_path / "plain.safetensors")
    for name in ("model", "plain"):
        model = language(1)
        report = intact.load_into(model, tmp_path / f"{name}.safetensors")
        assert report.plan.lossless
        assert same(model.state_dict(), language().state_dict())
        assert intact.inspect(tmp_path / f"{name}.safetensors").source.integrity.kind == "none"
    assert same(intact.read(tmp_path / "plain.safetensors"), language().state_dict())


def test_save_model_and_we_write_the_same_tensors_under_the_same_names(path: Path, tmp_path: Path) -> None:
    """Whoever changes from one to the other finds their keys."""
    save_model(language(), str(tmp_path / "theirs.safetensors"))
    with safe_open(path, "pt") as ours, safe_open(tmp_path / "theirs.safetensors", "pt") as theirs:
        tied = {key: kept for key, kept in ours.metadata().items() if not key.startswith("intact.") and key != "format"}
        assert tied == {"head.weight": "embed.weight", "layers.2.weight": "layers.0.weight"}
        their_tied = {key: kept for key, kept in theirs.metadata().items() if key != "format"}
        pairs = {frozenset(pair) for pair in tied.items()}
        assert pairs == {frozenset(pair) for pair in their_tied.items()}


def test_a_copy_by_safetensors_with_our_metadata_is_told_and_never_called_intact(path: Path) -> None:
    """The tensors are the same, and nothing shows that they are. It writes metadata in an order of chance, ours among them."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    seal = {name: text for name, text in metadata.items() if name in ("intact.header", "intact.manifest", "intact.digests")}
    copied = path.with_name("copied.safetensors")
    for kept in (metadata, *[seal] * 12, *[{"intact.header": metadata["intact.header"]}] * 2):
        save_file(load_file(path), copied, metadata=kept)
        assert intact.check(copied).findings[0].code == "file/checksum-mismatch"
        assert intact.verify(copied).verdict == "suspect"
        assert same(intact.read(copied), stored(language()))


def test_metadata_written_anew_in_our_order_are_told_from_damage(path: Path) -> None:
    """A program that keeps the order writes JSON all the same in a way of its own."""
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    for text in (json.dumps(header), json.dumps(header, separators=(",", ":")), json.dumps(header, separators=(",", ": "))):
        path.write_bytes(len(text.encode()).to_bytes(8, "little") + text.encode() + content[begin:])
        assert intact.verify(path).verdict == "suspect"
        assert same(intact.read(path), stored(language()))


hub = pytest.importorskip("huggingface_hub.serialization")


def test_the_hub_library_reads_our_file_and_our_set(path: Path, folder: Path) -> None:
    """`load_torch_model` follows the index by the names in it."""
    assert same(hub.load_state_dict_from_file(path), stored(language()))
    for place in (path, folder):
        model = language(1)
        result = hub.load_torch_model(model, place, strict=False)
        assert result.unexpected_keys == []
        assert same(model.state_dict(), language().state_dict())


def test_we_read_what_the_hub_library_writes(tmp_path: Path) -> None:
    """One file, and a set with an index."""
    for size in ("1GB", 400):
        place = tmp_path / str(size)
        place.mkdir()
        hub.save_torch_model(language(), place, max_shard_size=size)
        model = language(1)
        report = intact.load_into(model, place)
        assert report.plan.lossless
        assert same(model.state_dict(), language().state_dict())
        assert intact.verify(place).verdict == "suspect"
        assert [finding.code for finding in intact.verify(place).findings] == ["file/unsealed"]
    assert intact.inspect(tmp_path / "400").source.container == "sharded"


def test_the_index_of_our_set_has_the_form_that_the_hub_library_gives_its_own(folder: Path) -> None:
    """Every key with bytes, the name of its file, and the bytes of all tensors."""
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    theirs = hub.split_torch_state_dict_into_shards(language().state_dict(), max_shard_size=400)
    assert set(index["weight_map"]) == set(stored(language()))
    assert set(index) == {"metadata", "weight_map"}
    assert index["metadata"]["total_size"] == theirs.metadata["total_size"]
    assert set(index["weight_map"].values()) == {file.name for file in folder.glob("*.safetensors")}


transformers = pytest.importorskip("transformers")

CONFIGURATIONS = {
    "bert": lambda: transformers.BertConfig(
        vocab_size=31, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, max_position_embeddings=16
    ),
    "gpt2": lambda: transformers.GPT2Config(vocab_size=31, n_embd=8, n_layer=2, n_head=2, n_positions=16),
}
CLASSES = {"bert": "BertForMaskedLM", "gpt2": "GPT2LMHeadModel"}


def made(kind: str) -> Any:
    """A small model of transformers with random values and a tied head."""
    torch.manual_seed(0)
    return getattr(transformers, CLASSES[kind])(CONFIGURATIONS[kind]())


@pytest.mark.parametrize("kind", CONFIGURATIONS)
@pytest.mark.parametrize("max_shard_bytes", [None, 2_000])
def test_transformers_loads_our_file_and_our_set_beside_its_configuration(
    kind: str, max_shard_bytes: int | None, tmp_path: Path
) -> None:
    """`from_pretrained` on a folder, as for any model of the hub."""
    model = made(kind)
    model.config.save_pretrained(tmp_path)
    intact.save(model, tmp_path / "model.safetensors", max_shard_bytes=max_shard_bytes)
    loaded, told = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert same(loaded.state_dict(), model.state_dict())
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert not told["mismatched_keys"]
    assert intact.verify(tmp_path).verdict == "intact"


@pytest.mark.parametrize("kind", CONFIGURATIONS)
@pytest.mark.parametrize("size", ["1GB", "2KB"])
def test_we_load_what_transformers_saves(kind: str, size: str, tmp_path: Path) -> None:
    """`save_pretrained`, whole and in shards."""
    model = made(kind)
    model.save_pretrained(tmp_path, max_shard_size=size)
    fresh = type(model)(model.config)
    report = intact.load_into(fresh, tmp_path)
    assert report.plan.lossless
    assert same(fresh.state_dict(), model.state_dict())
    assert intact.seal(tmp_path).verdict == "intact"
    assert type(model).from_pretrained(tmp_path) is not None  # our seal beside the files is in nobody's way
