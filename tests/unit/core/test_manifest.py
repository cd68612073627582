"""The manifest as metadata: nothing is lost on the way, and a later intact is told from damage."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from intact.core.manifest import MANIFEST, NAMES, VERSION, Absent, Manifest, Program, Shard, UnknownVersion, in_order

FULL = Manifest(
    version=VERSION,
    save="0123456789abcdef" * 2,
    writer="intact 0.1.0",
    created="2026-01-02T03:04:05Z",
    chunk_bytes=4096,
    ties=(("a", "b"), ("format", "intact.manifest", "c")),
    order=(1, 0, 2),
    training=False,
    other_mode=("norm",),
    learning=False,
    other_learning=("a",),
    versions={"": 2},
    modules=True,
    absent=(Absent("mask", "float32", (2, 3), "00"),),
    entries={"step": 3},
    shard=Shard(1, 2),
    program=Program("net-0123456789ab.pt2", 3, "AAAA"),
    architecture='{"a": 1}',
    environment='{"e": 1}',
    probe='{"p": 1}',
)


@pytest.mark.parametrize("manifest", [FULL, Manifest(VERSION, "0" * 32)])
def test_a_manifest_comes_back_from_its_metadata(manifest: Manifest) -> None:
    """Every member, and every default."""
    metadata = manifest.to_metadata()
    assert all(type(name) is str and type(text) is str for name, text in metadata.items())
    assert Manifest.from_metadata(metadata) == manifest


def test_every_member_is_in_the_full_manifest_of_these_tests() -> None:
    """A new member that nobody put there would not be tested."""
    plain = Manifest(VERSION, "0" * 32)
    same = [field for field in Manifest.__struct_fields__ if getattr(FULL, field) == getattr(plain, field)]
    assert same == ["version"]


def test_tied_keys_stand_as_safetensors_writes_them_and_never_in_the_place_of_a_name_of_the_seal() -> None:
    """`save_model` maps the key that was left out to the key that was kept; a key may be called anything."""
    metadata = FULL.to_metadata()
    assert metadata["b"] == "a"
    assert metadata["c"] == "format"
    assert metadata["format"] == "pt"
    assert json.loads(metadata[MANIFEST])["ties"] == [["a", "b"], ["format", "intact.manifest", "c"]]
    assert set(metadata) <= NAMES | {"format", "b", "c"}


def test_large_records_stand_beside_the_manifest() -> None:
    """Who asks for the ties does not decode the architecture of a thousand layers."""
    assert "architecture" not in json.loads(FULL.to_metadata()[MANIFEST])
    assert FULL.to_metadata()["intact.architecture"] == '{"a": 1}'


@pytest.mark.parametrize("version", [VERSION + 1, 0, -1, 10**30])
def test_another_version_is_told_before_anything_else_is_decoded(version: int) -> None:
    """Its members may mean something else, or have other types."""
    text = json.dumps({"version": version, "save": 5, "ties": "no list"})
    with pytest.raises(UnknownVersion) as caught:
        Manifest.from_metadata({MANIFEST: text})
    assert caught.value.version == version


MALFORMED: list[Any] = [
    "",
    "null",
    "[]",
    "{}",
    '{"version": true}',
    '{"version": 1.5, "save": ""}',
    '{"version": 1, "save": "0"}',
    '{"version": 1, "save": "' + "0" * 33 + '"}',
    '{"version": 1, "save": "' + "0" * 31 + '\\n"}',
    '{"version": 1, "save": "' + "A" * 32 + '"}',
    '{"version": 1' + "0" * 5_000 + "}",
    '{"version": 1, "x": ' + "[" * 100_000,
    '{"version": 1, "save": "\ud800"}',
]


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_no_manifest_is_a_value_error(text: str) -> None:
    """It is text from a file."""
    with pytest.raises(ValueError) as caught:
        Manifest.from_metadata({MANIFEST: text})
    assert not isinstance(caught.value, UnknownVersion)


def test_keys_come_in_the_order_of_the_state_dict() -> None:
    """Places are those of the keys with bytes first, then of the tied ones."""
    manifest = msgspec.structs.replace(FULL, ties=(("b", "c"),), order=(2, 0, 1))
    assert in_order(["a", "b"], manifest) == ["b", "c", "a"]
    assert in_order(["a", "b"], msgspec.structs.replace(manifest, order=())) == ["a", "b", "c"]
