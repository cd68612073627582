"""The laws of sealed checkpoints: any change is noticed, and a model is described by its own save and intact against it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import hypothesis.strategies as st
import torch
from hypothesis import event, given, settings
from tests.property.models import filled, modules
from torch import nn

import intact
from intact.model.expectation import expect


class Rich(nn.Module):
    """A model with everything that a manifest records."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 5)
        self.head.weight = self.embedding.weight
        self.register_buffer("mask", torch.ones(2), persistent=False)

    def get_extra_state(self) -> dict[str, object]:
        """State of its own."""
        return {"step": 3, "seen": torch.arange(3)}

    def set_extra_state(self, state: dict[str, object]) -> None:
        """Takes it back."""


@cache
def sealed(large: bool) -> bytes:
    """The bytes of a sealed file, with one chunk for each tensor or with several."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        intact.save({"long": torch.randn(300_000), "short": torch.ones(3)} if large else Rich(), path)
        return path.read_bytes()


@cache
def parts(large: bool) -> dict[str, tuple[int, int]]:
    """What stands where in the file: the classes of positions, each of which is tried as often as the others."""
    content = sealed(large)
    data = 8 + int.from_bytes(content[:8], "little")
    begin = content.index(b'"intact.header"')
    digests = content.index(b'"intact.digests"')
    manifest = content.index(b'"intact.manifest"')
    text = content[:data].rstrip(b" ")
    tensors = content.rindex(b'"format":"pt"')
    return {
        "length": (0, 8),
        "begin": (8, begin + 20),
        "own digest": (begin + 20, digests),
        "digests": (digests, manifest),
        "manifest": (manifest, tensors),
        "tensors of the header": (tensors, len(text)),
        "padding": (len(text), data),
        "data": (data, len(content)),
        "end": (len(content) - 16, len(content)),
    }


def noticed(content: bytes | bytearray, large: bool) -> bool:
    """Whether a verification and a check of changed content both say that something is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(content)
        verdicts: list[str] = []
        for verb in (intact.verify, intact.check):
            try:
                verdicts.append(verb(path).verdict)
            except intact.CannotRead:  # noqa: PERF203 - another kind of file altogether is noticed as well
                verdicts.append("refused")
        return "intact" not in verdicts


@settings(max_examples=150, deadline=None)
@given(st.data(), st.booleans())
def test_one_changed_bit_anywhere_is_noticed(data: st.DataObject, large: bool) -> None:
    """In the length, each record of the header, its spaces, and every tensor."""
    part = data.draw(st.sampled_from(sorted(parts(large))))
    begin, end = parts(large)[part]
    if begin == end:
        return
    position, bit = data.draw(st.integers(begin, end - 1)), data.draw(st.integers(0, 7))
    event(part)
    changed = bytearray(sealed(large))
    changed[position] ^= 1 << bit
    assert noticed(changed, large), f"bit {bit} of byte {position}, in the {part}"


CHANGES: dict[str, Callable[[bytearray, int, int], bytes]] = {
    "a block of zeros": lambda content, begin, end: bytes(content[:begin] + bytes(end - begin) + content[end:]),
    "a block that is missing": lambda content, begin, end: bytes(content[:begin] + content[end:]),
    "a block that stands twice": lambda content, begin, end: bytes(content[:end] + content[begin:]),
    "a file that ends early": lambda content, begin, end: bytes(content[:begin]),
    "a block in another place": lambda content, begin, end: bytes(content[:begin] + content[end:] + content[begin:end]),
}


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(CHANGES)), st.floats(0, 1), st.integers(1, 5_000), st.booleans())
def test_every_larger_damage_is_noticed(kind: str, place: float, length: int, large: bool) -> None:
    """What disks, copies and interrupted downloads do."""
    content = bytearray(sealed(large))
    begin = int(place * (len(content) - 1))
    changed = CHANGES[kind](content, begin, min(begin + length, len(content)))
    if changed != content:
        assert noticed(changed, large), f"{kind}, {length} bytes from {begin}"


@settings(max_examples=40, deadline=None)
@given(modules(), st.none() | st.integers(1, 300))
def test_what_is_saved_is_described_as_the_model_is_and_the_model_is_intact(
    model: nn.Module, max_shard_bytes: int | None
) -> None:
    """Keys in their order, shapes, dtypes, ties, absent tensors and versions; as one file or as any set."""
    filled(model)
    with tempfile.TemporaryDirectory() as folder:
        intact.save(model, folder, max_shard_bytes=max_shard_bytes)
        expected, report = expect(model), intact.check(folder, model)
        found = report.found
        assert found is not None
        assert [(key, info.dtype, info.shape) for key, info in found.tensors.items()] == [
            (key, info.dtype, info.shape) for key, info in expected.tensors.items()
        ]
        assert (found.ties, found.metadata, set(found.absent)) == (expected.ties, expected.metadata, set(expected.absent))
        assert found.meaningful_order
        assert (report.verdict, [f for f in report.findings if f.severity != "info"]) == ("intact", [])
        assert intact.verify(folder).verdict == "intact"
        wanted = {key: value.clone() for key, value in model.state_dict().items()}
        with torch.no_grad():
            for value in model.state_dict().values():
                value.zero_()
        intact.load_into(model, folder)
        assert all(torch.equal(value, wanted[key]) for key, value in model.state_dict().items())
        assert list(intact.read(folder)) == list(wanted)


def test_a_model_with_everything_is_intact_against_its_own_save(tmp_path: Path) -> None:
    """Ties, a buffer outside of the state dict, extra state with a tensor in it."""
    for max_shard_bytes in (None, 50):
        model = Rich()
        intact.save(model, tmp_path / "model.safetensors", max_shard_bytes=max_shard_bytes)
        report = intact.check(tmp_path / "model.safetensors", model)
        assert report.verdict == "intact", report
        assert report.found is not None
        assert report.found.ties == expect(model).ties
