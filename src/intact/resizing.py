"""What a shape that differs is about: vocabulary, positions, input, head, or none of these.

A dimension is followed through the model: rows of an embedding that everything with the same two numbers goes along with are the
vocabulary; a last layer whose new size nothing consumes is a head; a size that one layer makes and the next consumes is a width,
and neither. The class of the owning module decides, not the name, except for what is a position.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from intact.core.difference import Difference
from intact.core.finding import Finding
from intact.core.keys import owner_of
from intact.core.plan import Step
from intact.core.rule import Facts
from intact.core.wording import by_permission, example, shape_text
from intact.repairs.keep import Keep
from intact.repairs.resize import Resize

Kind = Literal[
    "arch/resized-vocabulary", "arch/resized-position", "arch/resized-input", "arch/resized-head", "arch/shape-mismatch"
]

_POSITION = re.compile(r"(?:^|[._])(?:abs_|rel_|relative_)?pos(?:$|[._]|itions?|itional|_?emb|_?enc)|wpe", re.IGNORECASE)
_SEGMENT = re.compile(r"token_type|segment", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Change:
    """One shape that differs in size but not in number of dimensions.

    Attributes:
        difference: The difference of shape.
        axes: Dimension to size found and size expected, where they differ.
    """

    difference: Difference
    axes: Mapping[int, tuple[int, int]]

    @property
    def key(self) -> str:
        """Its key."""
        return self.difference.key

    @property
    def dimensions(self) -> int:
        """How many dimensions it has."""
        return len(self.difference.expected.shape) if self.difference.expected else 0


def classify(facts: Facts) -> dict[str, Kind]:
    """Returns what each difference of shape is about, by key."""
    shapes = facts.of_kind("shape")
    if not shapes:
        return {}
    changes = [change for d in shapes if (change := _change(d)) is not None]
    kinds: dict[str, Kind] = {d.key: "arch/shape-mismatch" for d in shapes}
    flow = _flow(facts, changes)
    for change in changes:
        kind = _own_kind(facts, change, flow)
        if kind:
            kinds[change.key] = kind
    _go_along(facts, changes, kinds)
    return kinds


def _change(difference: Difference) -> Change | None:
    a, b = difference.found, difference.expected
    if a is None or b is None or len(a.shape) != len(b.shape) or a.layout != b.layout:
        return None
    return Change(difference, {i: (x, y) for i, (x, y) in enumerate(zip(a.shape, b.shape, strict=True)) if x != y})


Sizes = tuple[int, int]
"""Size found and size expected."""


@dataclass(frozen=True, slots=True)
class _Flow:
    """Which modules make and which take a size that changed, embeddings left out.

    Attributes:
        makers: Sizes to the modules with as many rows.
        takers: Sizes to the modules that consume them, or only scale them, as a normalisation does.
        weights: Module and sizes of every weight whose rows changed, where nothing else of that module did: a recurrent layer
            consumes its own rows.
    """

    makers: Mapping[Sizes, set[str]]
    takers: Mapping[Sizes, set[str]]
    weights: frozenset[tuple[str, Sizes]]

    def is_output(self, change: Change) -> bool:
        """Whether it is the weight that makes outputs, or the bias beside it."""
        return set(change.axes) == {0} and (owner_of(change.key), change.axes[0]) in self.weights


def _flow(facts: Facts, changes: list[Change]) -> _Flow:
    weights = [change for change in changes if change.dimensions >= 2]
    mixed = {owner_of(change.key) for change in weights if set(change.axes) != {0}}
    rows = frozenset((owner_of(c.key), c.axes[0]) for c in weights if owner_of(c.key) not in mixed)
    flow = _Flow(defaultdict(set), defaultdict(set), rows)
    for change in changes:
        if _is_embedding(facts, change.key):
            continue
        for axis, sizes in change.axes.items():
            if axis == 0:
                flow.makers[sizes].add(owner_of(change.key))
            if not flow.is_output(change):
                flow.takers[sizes].add(owner_of(change.key))
    return flow


def _own_kind(facts: Facts, change: Change, flow: _Flow) -> Kind | None:
    if len(change.axes) != 1:
        return None
    ((axis, sizes),) = change.axes.items()
    if _POSITION.search(change.key):
        return "arch/resized-position"
    embedding = _is_embedding(facts, change.key)
    if embedding and axis == 0 and not _SEGMENT.search(change.key):
        return "arch/resized-vocabulary"
    if embedding:
        return None
    if change.dimensions >= 2 and axis == 1 and not _elsewhere(change, flow.makers[sizes]):
        return "arch/resized-input"
    if flow.is_output(change) and not _elsewhere(change, flow.takers[sizes]):
        return "arch/resized-head"
    return None


def _elsewhere(change: Change, modules: set[str]) -> bool:
    """Whether another module than the change's own is among them."""
    return any(module != owner_of(change.key) for module in modules)


def _is_embedding(facts: Facts, key: str) -> bool:
    owner = facts.expected.module_of(key)
    return owner is not None and "Embedding" in owner.class_name.rpartition(".")[2]


def _go_along(facts: Facts, changes: list[Change], kinds: dict[str, Kind]) -> None:
    """Rows that change with the vocabulary are the vocabulary; buffers that change with the positions are positions."""
    vocabulary = {c.axes[0] for c in changes if kinds[c.key] == "arch/resized-vocabulary"}
    position = {sizes for c in changes if kinds[c.key] == "arch/resized-position" for sizes in c.axes.values()}
    for change in changes:
        if set(change.axes) == {0} and change.axes[0] in vocabulary:
            kinds[change.key] = "arch/resized-vocabulary"
        elif facts.expected.tensors[change.key].role == "buffer" and set(change.axes.values()) <= position:
            kinds[change.key] = "arch/resized-position"


def resized(
    facts: Facts, code: str, *, what: str, cause: str, loss: str, step: Callable[[list[Difference]], Step]
) -> Iterator[Finding]:
    """Yields the differences of shape that are about one thing, as one finding.

    Args:
        facts: What the rule looks at.
        code: The cause, one of the kinds.
        what: Headline before the example.
        cause: How it came to be.
        loss: What the step gives up.
        step: Builds the step from the differences.
    """
    kinds = classify(facts)
    mine = [d for d in facts.of_kind("shape") if kinds[d.key] == code]
    if mine:
        yield resized_finding(code, mine, what=what, cause=cause, loss=loss, step=step(mine))


def resized_finding(code: str, mine: list[Difference], *, what: str, cause: str, loss: str, step: Step) -> Finding:
    """Returns the finding for differences of shape that are about one thing."""
    shapes = {d.key: [list(d.found.shape), list(d.expected.shape)] for d in mine if d.found and d.expected}
    found, expected = (shape_text(sizes) for sizes in shapes[mine[0].key])
    layouts = (mine[0].found, mine[0].expected)
    if layouts[0] and layouts[1] and layouts[0].layout != layouts[1].layout:  # meta tensors have shapes, and no values
        found, expected = f"{layouts[0].layout} {found}", f"{layouts[1].layout} {expected}"
    more = f" ({len(mine):,} tensors in all)" if len(mine) > 1 else ""
    return Finding(
        code,
        "error",
        f"{what}: `{mine[0].key}` is {found} in the file and {expected} in the model{more}",
        tuple(d.key for d in mine),
        {"shapes": shapes},
        tuple(example(d.found, d.expected) for d in mine[:3]),
        cause,
        by_permission(code, loss),
        step,
        frozenset(d.mark for d in mine),
    )


def keep_fresh(mine: list[Difference]) -> Step:
    """Returns the step that leaves the model's own values."""
    return Keep(tuple((d.key, d.expected.dtype, d.expected.shape) for d in mine if d.expected))


def copy_common(mine: list[Difference]) -> Step:
    """Returns the step that copies the part both shapes have."""
    return Resize(tuple((d.key, d.expected.shape) for d in mine if d.expected))
