"""Laws of the loop, on descriptions that agree in part, by accident, or not at all."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import hypothesis.strategies as st
from hypothesis import given, settings

from intact.comparison import compare
from intact.core.description import Description, ModuleInfo
from intact.core.keys import owner_of
from intact.core.report import Report, verdict_of
from intact.core.rule import Facts
from intact.core.tensor import TensorInfo
from intact.diagnosis import Diagnosis, diagnose, unexplained
from intact.rules import RULES

_PARTS = st.sampled_from(["module", "model", "layers", "0", "1", "2", "3", "fc", "attn", "embed", "ema", "net"])
_LEAVES = st.sampled_from(["weight", "bias", "running_mean", "num_batches_tracked"])
_KEYS = st.builds(lambda path, leaf: ".".join([*path, leaf]), st.lists(_PARTS, max_size=4), _LEAVES)
_CLASSES = st.sampled_from(["torch.nn.modules.linear.Linear", "torch.nn.modules.sparse.Embedding", "x.Net"])


@st.composite
def descriptions(draw: st.DrawFn, nests: bool = False) -> Description:
    """Up to a dozen tensors under plausible keys; some tied, some nested."""
    keys = draw(st.lists(_KEYS, max_size=12, unique=True))
    tensors = {}
    for key in keys:
        nest = draw(st.sampled_from(["", owner_of(key), key.split(".")[0] if "." in key else ""])) if nests else ""
        shape = tuple(draw(st.lists(st.sampled_from([2, 3, 4]), max_size=2)))
        dtype = draw(st.sampled_from(["float32", "float16", "int64"]))
        tensors[key] = TensorInfo(key, dtype, shape, nest=nest, source=key if nests else "")
    ties = (tuple(keys[:2]),) if len(keys) > 2 and draw(st.booleans()) else ()
    if ties:
        tensors[keys[1]] = replace(tensors[keys[0]], key=keys[1], source=keys[1] if nests else "", nest=tensors[keys[1]].nest)
    modules = {} if nests else {owner_of(key): ModuleInfo(owner_of(key), draw(_CLASSES)) for key in keys}
    return Description(tensors, ties, modules)


def _diagnosed(found: Description, expected: Description) -> Diagnosis:
    return diagnose(Facts(found, expected, (), found), RULES)


@settings(deadline=None, max_examples=300)
@given(descriptions(nests=True), descriptions())
def test_every_difference_is_explained_by_exactly_one_finding(found: Description, expected: Description) -> None:
    """Two causes for one key would contradict each other, and a key without a cause would load wrongly without a word."""
    diagnosis = _diagnosed(found, expected)
    assert not list(unexplained(diagnosis))
    assert not diagnosis.open
    standing = [mark for f in diagnosis.findings if f.step is None for mark in f.explains]
    assert len(standing) == len(set(standing))
    left = {d.mark for d in compare(diagnosis.final, expected)}
    assert left == set(standing)


@settings(deadline=None, max_examples=200)
@given(descriptions(nests=True), descriptions(), st.randoms(use_true_random=False))
def test_the_order_of_keys_never_changes_a_report(found: Description, expected: Description, chance: random.Random) -> None:
    """The same tensors written in another order are the same checkpoint."""
    keys = list(found.tensors)
    chance.shuffle(keys)
    shuffled = replace(found, tensors={key: found.tensors[key] for key in keys})
    first, second = _diagnosed(found, expected), _diagnosed(shuffled, expected)
    assert [f.code for f in first.findings] == [f.code for f in second.findings]
    assert [f.headline for f in first.findings] == [f.headline for f in second.findings]
    assert [sorted(f.keys) for f in first.findings] == [sorted(f.keys) for f in second.findings]


@settings(deadline=None, max_examples=200)
@given(descriptions(nests=True), descriptions())
def test_a_loss_free_plan_without_standing_errors_is_never_called_worse_than_repairable(
    found: Description, expected: Description
) -> None:
    """The verdict is what the findings say, and the plan ends at the model's keys, shapes and dtypes."""
    diagnosis = _diagnosed(found, expected)
    if diagnosis.plan.lossless and all(f.step is not None or f.severity != "error" for f in diagnosis.findings):
        assert verdict_of(diagnosis.findings) in ("intact", "suspect", "repairable")
        assert not compare(diagnosis.final, expected)
        assert set(expected.tensors) <= set(diagnosis.final.tensors)


@settings(deadline=None, max_examples=100)
@given(descriptions(nests=True), descriptions())
def test_every_report_is_json(found: Description, expected: Description) -> None:
    """Other people's tools read it."""
    from intact.core.description import Source

    diagnosis = _diagnosed(found, expected)
    report = Report(Source("x.pth"), None, diagnosis.findings, diagnosis.plan, found=found, expected=expected)
    data = json.loads(report.to_json())
    assert data["verdict"] == report.verdict
    assert [f["key_count"] for f in data["findings"]] == [len(f.keys) for f in report.findings]
