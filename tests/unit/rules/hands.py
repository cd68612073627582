"""Descriptions built by hand, and what the rules say of them: small enough to see every key in the test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from intact.comparison import compare
from intact.core.description import Description, ModuleInfo
from intact.core.finding import Finding
from intact.core.keys import owner_of
from intact.core.rule import CastLoss, Facts, Measure, Rule
from intact.core.tensor import TensorInfo
from intact.diagnosis import Diagnosis, diagnose
from intact.rules import RULES

Shapes = Mapping[str, tuple[int, ...]]

LINEAR, EMBEDDING = "torch.nn.modules.linear.Linear", "torch.nn.modules.sparse.Embedding"


def held(*places: Shapes | tuple[str, Shapes], dtype: str = "float32", **more: Any) -> Description:
    """Returns what a file holds: shapes by key, or pairs of the place they lie in and shapes by key."""
    tensors = {}
    for place in places:
        nest, shapes = place if isinstance(place, tuple) else ("", place)
        for key, shape in shapes.items():
            whole = f"{nest}.{key}" if nest else key
            tensors[whole] = TensorInfo(whole, dtype, shape, nest=nest, source=whole)
    return Description(tensors, **more)


def wanted(
    shapes: Shapes,
    *,
    classes: Mapping[str, str | ModuleInfo] | None = None,
    buffers: Iterable[str] = (),
    dtype: str = "float32",
    absent: Shapes | None = None,
    **more: Any,
) -> Description:
    """Returns what a model wants: parameters unless they are named as buffers, Linear layers unless `classes` says otherwise."""
    roles = {key: "buffer" if key in set(buffers) else "parameter" for key in shapes}
    tensors: dict[str, TensorInfo] = {k: TensorInfo(k, dtype, shape, role=roles[k]) for k, shape in shapes.items()}  # type: ignore[arg-type]
    modules = {owner_of(key): ModuleInfo(owner_of(key), LINEAR) for key in (*shapes, *(absent or {}))}
    for path, known in (classes or {}).items():
        modules[path] = known if isinstance(known, ModuleInfo) else ModuleInfo(path, known)
    kept_out = {key: TensorInfo(key, dtype, shape, role="buffer") for key, shape in (absent or {}).items()}
    return Description(tensors, modules=modules, absent=kept_out, **more)


def facts(found: Description, expected: Description, **more: Any) -> Facts:
    """Returns the facts as the first round of the loop sees them."""
    return Facts(found, expected, compare(found, expected), found, **more)


def told(found: Description, expected: Description, **more: Any) -> Diagnosis:
    """Returns the whole diagnosis by all rules, none of its differences left without a cause."""
    diagnosis = diagnose(facts(found, expected, **more), RULES)
    assert not diagnosis.open
    return diagnosis


def codes(found: Description, expected: Description, **more: Any) -> list[str]:
    """Returns the codes of all findings, in order."""
    return [finding.code for finding in told(found, expected, **more).findings]


def only(found: Description, expected: Description, **more: Any) -> Finding:
    """Returns the one finding there is."""
    (finding,) = told(found, expected, **more).findings
    return finding


def said_by(rule: Rule, found: Description, expected: Description, **more: Any) -> list[Finding]:
    """Returns what one rule says by itself."""
    return list(rule.detect(facts(found, expected, **more)))


def prefixed(prefix: str, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Returns the shapes under longer keys."""
    return {prefix + key: shape for key, shape in shapes.items()}


def loss(found: str = "float32", **counts: Any) -> Measure:
    """Returns a measure that gives these figures for every cast of a tensor of four elements."""
    return lambda source, dtype: CastLoss(source, found, dtype, 4, **counts)
