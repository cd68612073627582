"""Sealed files: what stands in them comes back, and what contradicts itself is refused however well it is sealed."""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.unit.containers import forging
from torch import nn

import intact


class Tied(nn.Module):
    """Two keys for one tensor, a buffer that is not saved, and state of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("mask", torch.ones(3), persistent=False)

    def get_extra_state(self) -> dict[str, Any]:
        """Counters, as some layers keep them."""
        return {"step": 3, "history": (1.5, float("inf"))}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Takes them back."""
        self.state = state


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sealed file of a model with everything that a manifest can tell."""
    torch.manual_seed(0)
    target = tmp_path / "model.safetensors"
    intact.save(Tied(), target)
    return target


def problem(path: Path) -> tuple[str, str]:
    """The code of what a check finds first, and its sentence."""
    finding = intact.check(path).findings[0]
    return finding.code, finding.headline


def test_order_ties_entries_versions_and_absent_tensors_come_back(path: Path) -> None:
    """A safetensors file alone keeps none of them."""
    model = Tied()
    found = intact.inspect(path).found
    assert found is not None
    tensors = [key for key, value in model.state_dict().items() if isinstance(value, torch.Tensor)]
    assert list(found.tensors) == tensors
    assert found.ties == (("embedding.weight", "head.weight"),)
    assert found.metadata == {key: entry["version"] for key, entry in model.state_dict()._metadata.items()}  # type: ignore[attr-defined]
    assert set(found.absent) == {"mask"}
    assert "_extra_state.step" in [extra.path for extra in found.extras]
    assert found.meaningful_order
    state = intact.read(path)
    assert state["_extra_state"] == {"step": 3, "history": (1.5, float("inf"))}
    assert [key for key in state if key != "_extra_state"] == tensors
    assert state["head.weight"] is state["embedding.weight"]


def test_the_mode_of_the_model_and_of_its_layers_is_recorded(tmp_path: Path) -> None:
    """A frozen batch norm in a model that trains is lost by every other format."""
    model = Tied().train()
    model.norm.eval()
    intact.save(model, tmp_path / "m.safetensors")
    manifest = json.loads(forging.header_of(tmp_path / "m.safetensors")["__metadata__"]["intact.manifest"])
    assert (manifest["training"], manifest["other_mode"]) == (True, ["norm"])


def test_other_readers_see_the_tensors_and_nothing_else(path: Path) -> None:
    """A tied key stands once, as their own writer would have it."""
    loaded = load_file(path)
    assert set(loaded) == {key for key in Tied().state_dict() if key not in ("_extra_state", "head.weight")}
    assert torch.equal(loaded["embedding.weight"], intact.read(path)["embedding.weight"])


def test_metadata_of_the_seal_are_not_listed_as_extras(path: Path) -> None:
    """A person who inspects a file wants to see what somebody wrote into it."""
    assert [extra.path for extra in intact.inspect(path).found.extras if extra.path.startswith("__metadata__")] == [
        "__metadata__.format"
    ]


CONTRADICTIONS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a tie to a key that is nowhere": lambda m: m.update(ties=[["nowhere", "head.weight"]]),
    "a tie of one": lambda m: m.update(ties=[["embedding.weight"]]),
    "a tie of none": lambda m: m.update(ties=[[]]),
    "a key tied twice": lambda m: m.update(ties=[["embedding.weight", "head.weight"], ["norm.bias", "head.weight"]]),
    "a tied key with bytes of its own": lambda m: m.update(ties=[["embedding.weight", "norm.weight"]]),
    "a key tied to itself": lambda m: m.update(ties=[["embedding.weight", "embedding.weight"]]),
    "an order with one place twice": lambda m: m.update(order=[0, 0, 1, 2, 3, 4, 5]),
    "an order that is too short": lambda m: m.update(order=[0, 1]),
    "an order of places far away": lambda m: m.update(order=[2**62, 1, 2, 3, 4, 5, 6]),
    "an order below zero": lambda m: m.update(order=[-1, 0, 1, 2, 3, 4, 5]),
    "an order of texts": lambda m: m.update(order=["0"]),
    "an entry under the key of a tensor": lambda m: m.update(entries={"norm.bias": 1}),
    "an entry under a tied key": lambda m: m.update(entries={"head.weight": 1}),
    "a tensor of an entry under the key of a tensor": lambda m: m.update(
        entries={"norm": {"$dict": [["bias", {"$tensor": ["uint8", [1], "AA=="]}]]}}
    ),
    "an entry of an unknown kind": lambda m: m.update(entries={"x": {"$object": "os.system"}}),
    "an entry with two kinds": lambda m: m.update(entries={"x": {"$tuple": [], "$set": []}}),
    "a tensor with other bytes than its shape": lambda m: m.update(entries={"x": {"$tensor": ["int64", [3], "AAAA"]}}),
    "a tensor of a million dimensions": lambda m: m.update(entries={"x": {"$tensor": ["int64", [2**62] * 1_000_000, ""]}}),
    "a number that no float can hold": lambda m: m.update(entries={"x": {"$float": 10**400}}),
    "a part of a set": lambda m: m.update(shard=[1, 2]),
    "chunks of no bytes": lambda m: m.update(chunk_bytes=0),
    "chunks of two tebibytes": lambda m: m.update(chunk_bytes=2**41),
    "a save that is none": lambda m: m.update(save="../../etc"),
    "an absent tensor of many dimensions": lambda m: m.update(absent=[["mask", "float32", [1] * 65]]),
    "an absent tensor without end": lambda m: m.update(absent=[["mask", "float32", [2**70]]]),
    "a version that is text": lambda m: m.update(version="1"),
    "no version": lambda m: m.pop("version"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_manifest_that_contradicts_itself_or_the_file_is_refused(name: str, path: Path) -> None:
    """Whoever writes a file can make its digests agree; so nothing in a manifest is believed for being sealed."""
    forging.with_manifest(path, CONTRADICTIONS[name])
    code, sentence = problem(path)
    assert code == "file/bad-header", sentence
    assert intact.verify(path).verdict == "damaged"
    with pytest.raises(intact.Damaged):
        intact.read(path)


METADATA: dict[str, Callable[[dict[str, Any]], object]] = {
    "no manifest": lambda m: m.pop("intact.manifest"),
    "no digests": lambda m: m.pop("intact.digests"),
    "a digest too few": lambda m: m.update({"intact.digests": base64.b64encode(bytes(16)).decode()}),
    "digests that are no base64": lambda m: m.update({"intact.digests": "é" * 100}),
    "a manifest that is no JSON": lambda m: m.update({"intact.manifest": "{"}),
    "a manifest that is a list": lambda m: m.update({"intact.manifest": "[]"}),
    "a manifest nested too deeply": lambda m: m.update({"intact.manifest": "[" * 100_000}),
    "entries nested too deeply": lambda m: m.update(
        {"intact.manifest": m["intact.manifest"][:-1] + ',"x":' + "[" * 5_000 + "]" * 5_000 + "}"}
    ),
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_that_are_no_seal_are_refused(name: str, path: Path) -> None:
    """Each of them agrees with the digest of the header."""
    forging.with_metadata(path, METADATA[name])
    code, sentence = problem(path)
    assert code == "file/bad-header", sentence


def test_members_that_nobody_knows_are_ignored(path: Path) -> None:
    """A later intact may record more without another version of the format."""
    forging.with_manifest(path, lambda manifest: manifest.update(later={"more": [1, 2]}))
    assert intact.verify(path).verdict == "intact"


def test_a_later_version_is_told_in_one_sentence_and_is_no_damage(path: Path) -> None:
    """Nothing is wrong with the file, and the user has to know what to do."""
    forging.with_manifest(path, lambda manifest: manifest.update(version=2, order="something new"))
    with pytest.raises(intact.CannotRead) as caught:
        intact.check(path)
    assert not isinstance(caught.value, intact.Damaged)
    assert "version 2" in caught.value.message
    assert "not damaged" in caught.value.message
    assert "install a newer intact" in caught.value.help


def test_absent_tensors_of_unknown_dtypes_do_no_harm(path: Path) -> None:
    """torch will have dtypes that this version has never heard of."""
    forging.with_manifest(path, lambda manifest: manifest.update(absent=[["mask", "float2\x1b[31m", [2**40, 2**40]]]))
    assert intact.check(path, Tied()).verdict in ("intact", "suspect")
    assert "\x1b" not in str(intact.check(path, Tied()))


def test_a_file_that_another_program_wrote_anew_is_never_called_intact(path: Path) -> None:
    """safetensors copies metadata when it is told to, and the seal is that of another file then."""
    from safetensors.torch import save_file

    copied = path.with_name("copied.safetensors")
    save_file(load_file(path), copied, metadata=forging.header_of(path)["__metadata__"])
    assert [note.code for note in intact.verify(copied).findings] == ["file/checksum-mismatch", "file/unsealed"]
    report = intact.check(copied)
    assert (report.verdict, report.source.integrity.kind) == ("suspect", "none")


NAMES = ["intact.manifest", "format", "intact.header", "", "\u00fc.\U0001f600", "a\nb", 'q"\\', "k" * 5_000, "__metadata", "0"]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_any_text_can_be_a_key_tied_or_not(name: str, tmp_path: Path) -> None:
    """Keys and metadata stand in one header, and a tied key stands in both."""
    shared = torch.arange(3.0)
    state = {name: shared, "tied": shared, "other": torch.ones(2)}
    for number, order in enumerate((list(state), ["tied", name, "other"])):
        target = tmp_path / f"{number}.safetensors"
        intact.save({key: state[key] for key in order}, target)
        assert intact.verify(target).verdict == "intact"
        read = intact.read(target)
        assert list(read) == order
        assert all(torch.equal(read[key], state[key]) for key in order)
        assert read["tied"] is read[name]
        assert set(load_file(target)) == {order[0], "other"}


def test_the_key_of_the_metadata_themselves_is_refused(tmp_path: Path) -> None:
    """The format has no way to tell such a tensor from its metadata."""
    with pytest.raises(intact.IntactError, match="keeps for itself"):
        intact.save({"__metadata__": torch.ones(1)}, tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_empty_scalar_and_absent_tensors_come_back(tmp_path: Path) -> None:
    """Shapes without elements, and elements without a shape."""
    state = OrderedDict(
        none=torch.empty(0, 7), scalar=torch.tensor(2.5), zero=torch.empty(3, 0, 2).half(), flag=torch.tensor(True)
    )
    intact.save(state, tmp_path / "m.safetensors")
    read = intact.read(tmp_path / "m.safetensors")
    assert [(value.shape, value.dtype) for value in read.values()] == [(value.shape, value.dtype) for value in state.values()]
    assert (read["scalar"], read["flag"]) == (2.5, True)
    assert intact.verify(tmp_path / "m.safetensors").verdict == "intact"


def test_a_model_without_tensors_is_a_checkpoint_too(tmp_path: Path) -> None:
    """A stage of a pipeline may hold nothing but its activation."""
    intact.save(nn.ReLU(), tmp_path / "m.safetensors")
    assert load_file(tmp_path / "m.safetensors") == {}
    assert intact.read(tmp_path / "m.safetensors") == {}
    assert intact.inspect(tmp_path / "m.safetensors").source.integrity.kind == "xxh3-128"


def test_a_bit_of_every_tensor_is_told_by_its_name_and_place(path: Path) -> None:
    """Damage is useful to know only with the tensor that it is in."""
    header = forging.header_of(path)
    begin = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    whole = path.read_bytes()
    for key, entry in header.items():
        if key == "__metadata__":
            continue
        changed = bytearray(whole)
        changed[begin + entry["data_offsets"][0]] ^= 1
        path.write_bytes(changed)
        (finding,) = intact.verify(path).findings
        assert finding.code == "file/checksum-mismatch"
        assert finding.keys[0] == key
        assert (key == "embedding.weight") == ("head.weight" in finding.keys)
        (chunk,) = finding.evidence["chunks"]
        assert chunk["begin"] == begin + entry["data_offsets"][0]
