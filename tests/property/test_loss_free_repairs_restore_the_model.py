"""Law: what was done to a file without loss is undone without loss, whatever the order of its keys, and nothing stays open."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import torch
from hypothesis import given, settings
from tests.property.models import Spoil, filled, modules, spoiled, spoils
from torch import nn

import intact
from intact.comparison import compare
from intact.examination import examine


@settings(deadline=None, max_examples=60)
@given(modules(), spoils(), st.randoms(use_true_random=False))
def test_a_repairable_file_gives_the_model_back(model: nn.Module, done: tuple[Spoil, ...], chance: object) -> None:
    """This is the promise: wrapped, nested and in half precision at once is no harder than each of them."""
    original = filled(model).state_dict()
    fresh = copy.deepcopy(model)
    with torch.no_grad():
        for tensor in fresh.state_dict().values():
            tensor.zero_()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.pth")
        torch.save(spoiled(original, done), path)
        report = intact.check(path, fresh)
        assert report.verdict in ("intact", "repairable"), f"{[s.name for s in done]}\n{report}"
        intact.load_into(fresh, path)
    for key, value in fresh.state_dict().items():
        assert torch.equal(value, original[key]), key


@settings(deadline=None, max_examples=40)
@given(modules(), spoils())
def test_a_repairable_plan_leaves_no_difference(model: nn.Module, done: tuple[Spoil, ...]) -> None:
    """A plan that left something open would fail in the middle of a load."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.pth")
        torch.save(spoiled(filled(model).state_dict(), done), path)
        examination = examine(path, model)
        examination.close()
    assert examination.diagnosis is not None
    assert examination.report.expected is not None
    assert not compare(examination.diagnosis.final, examination.report.expected)


@settings(deadline=None, max_examples=40)
@given(modules(), st.booleans())
def test_a_model_against_its_own_fresh_save_is_intact(model: nn.Module, legacy: bool) -> None:
    """A false alarm on a healthy file is as bad as a missed fault."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.pth")
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=not legacy)
        report = intact.check(path, model)
    assert report.verdict == "intact", str(report)
    assert report.matched_keys == len(model.state_dict())
