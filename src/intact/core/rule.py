"""The record of a rule, and the facts that a rule may look at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from intact.core.description import Description, Plain
from intact.core.difference import Difference
from intact.core.finding import Finding
from intact.core.inventory import Inventory
from intact.core.one_of_set import OneOfSet
from intact.core.statistics import Statistics
from intact.core.training import TrainingFacts

if TYPE_CHECKING:
    from intact.core.behaviour import BehaviourFacts
    from intact.core.environment import Environment


@dataclass(frozen=True, slots=True)
class CastLoss:
    """What casting one tensor would do to its values, in figures.

    Attributes:
        key: Key of the tensor in the container.
        found: Its dtype there.
        expected: The dtype it would be cast to.
        elements: How many elements it has.
        changed: Elements whose value would not be the same afterwards, all causes together.
        rounded: Of these, finite values that come out as another finite, non-zero value of the same sign.
        overflowed: Finite values that become infinite or NaN, or integers that wrap around.
        underflowed: Values other than zero that become zero.
        truncated: Values whose fraction is cut off by an integer type.
        imaginary: Values whose imaginary part is dropped.
        largest_absolute: Largest absolute error among values that stay finite.
        largest_relative: Largest relative error among them.
        example: Index, value before and value after of the element that changes most by the gravest cause there is, in the order
            imaginary, overflowed, underflowed, truncated, rounded.
    """

    key: str
    found: str
    expected: str
    elements: int
    changed: int = 0
    rounded: int = 0
    overflowed: int = 0
    underflowed: int = 0
    truncated: int = 0
    imaginary: int = 0
    largest_absolute: float = 0.0
    largest_relative: float = 0.0
    example: tuple[tuple[int, ...], float | int | str, float | int | str] | None = None

    @property
    def exact(self) -> bool:
        """Whether every value stays what it is."""
        return self.changed == 0


Measure = Callable[[str, str], "CastLoss | None"]
"""(source key, dtype) to the figures of that cast, None where the bytes cannot be read or a dtype is unknown."""

SameValues = Callable[[str, str, str], bool]
"""(source key, dtype, key in the model): whether the model holds just what the cast of the file's values would give."""


RoundsTo = Callable[[str, str], bool]
"""Two source keys: whether the first, cast to the dtype of the second, is the second bit for bit."""

SameBytes = Callable[[str, str], bool]
"""Two source keys: whether dtype, shape and all bytes are equal."""


@dataclass(frozen=True, slots=True)
class Migration:
    """What the model's own loading code does with the keys found, tried on a copy without memory.

    Attributes:
        accepted: Whether a strict load of exactly these keys would go through.
        missing: Keys that torch would still call missing.
        unexpected: Keys that torch would still call unexpected.
        renames: Key found to key of the model, for keys that the model's own hooks rename.
        reason: Why it could not be tried, or what the strict load would say; "" where it is accepted.
    """

    accepted: bool
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    renames: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ByVersion:
    """What depends on which version of the model's classes wrote a checkpoint.

    Attributes:
        complaint: What a load by torch ends in, with the versions recorded or without any; "" where it goes through.
        changed: Keys that the model's own code would change then, and not if the versions were those of the classes here.
        current: Versions of the classes here, by path of the module.
        recorded: Versions in the file, None where there is none, for modules with loading code of their own that have another.
        classes: Names of the classes of these.
    """

    complaint: str
    changed: tuple[str, ...]
    current: Mapping[str, int]
    recorded: Mapping[str, int | None]
    classes: Mapping[str, str]


VersionsMatter = Callable[[Description], "ByVersion | None"]
"""Description of what would be loaded to what the versions recorded with it change; None where they change nothing."""

Migrate = Callable[[Description], "Migration | None"]
"""Description of what would be loaded to what the model's own code makes of it; None where there is no live model."""


def _unmeasured(source: str, dtype: str) -> CastLoss | None:  # noqa: ARG001 - the shape of Measure
    return None


def _incomparable(source: str, dtype: str, key: str) -> bool:  # noqa: ARG001 - the shape of SameValues
    return False


def _unequal(first: str, second: str) -> bool:  # noqa: ARG001 - the shape of SameBytes
    return False


def _unsaid() -> Mapping[str, Mapping[str, Plain]]:
    return {}


def _unknown(path: str, name: str) -> bool:  # noqa: ARG001 - the shape of `reads`
    return False


def _of_no_set() -> OneOfSet | None:
    return None


def _unread() -> Mapping[str, Statistics]:
    return {}


def _indifferent(found: Description) -> ByVersion | None:  # noqa: ARG001 - the shape of VersionsMatter
    return None


def _unmoved(found: Description) -> Migration | None:  # noqa: ARG001 - the shape of Migrate
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """All that a rule may look at; the same records whatever the container and whatever the model. Compared by identity.

    Attributes:
        found: What the container holds, after the steps taken so far.
        expected: What the model wants.
        differences: Every disagreement between the two.
        original: What the container held before any step.
        container: Name of the container (`torch-zip`).
        at: The place in the file that the user named (`ema`), None where the user named none.
        measure: Figures of a cast, from the bytes; asked only when a difference of dtype calls for it.
        same_values: Whether the model already holds what a cast of the file's values would give.
        same_bytes: Whether two tensors of the file are equal, bit for bit.
        rounds_to: Whether one tensor of the file is another one in a wider dtype, bit for bit after the cast.
        migrate: What the model's own loading code makes of a description.
        by_version: What depends on the versions that the file records of the model's classes.
        values: Figures of every tensor of the file; empty where its values were not to be looked at.
        settings: What the file says about how its model was built, and files beside it: where, dotted name, value.
        reads: Path of a module and name of an attribute: whether what the module computes depends on it.
        has_model: Whether a model was given at all; without one nothing is expected.
        environments: The recorded environment and this one, where the checkpoint keeps a record of it.
        inventory: What stands on a live model that is about to be saved; None where no model is audited.
        behaviour: What a replay showed, and what else differs from the model that was sealed; None before that is looked at.
        kinds: The differences by kind, as they are asked for.
        marked: Kind and key of every difference, as it is asked for.
        said: The names in the keys that are not the model's, as they are asked for.
        shard: The set that the file is one of, where it was given by itself.
        training: Optimizers, schedulers and counters beside what the checkpoint holds for them; None for a model alone.
    """

    found: Description
    expected: Description
    differences: tuple[Difference, ...]
    original: Description
    container: str = ""
    at: str | None = None
    measure: Measure = field(default=_unmeasured)
    same_values: SameValues = field(default=_incomparable)
    same_bytes: SameBytes = field(default=_unequal)
    rounds_to: RoundsTo = field(default=_unequal)
    migrate: Migrate = field(default=_unmoved)
    by_version: VersionsMatter = field(default=_indifferent)
    values: Callable[[], Mapping[str, Statistics]] = field(default=_unread)
    settings: Callable[[], Mapping[str, Mapping[str, Plain]]] = field(default=_unsaid)
    reads: Callable[[str, str], bool] = field(default=_unknown)
    has_model: bool = True
    environments: tuple[Environment, Environment] | None = None
    inventory: Inventory | None = None
    behaviour: BehaviourFacts | None = None
    shard: Callable[[], OneOfSet | None] = field(default=_of_no_set)
    training: TrainingFacts | None = None
    kinds: dict[str, tuple[Difference, ...]] = field(init=False, repr=False, default_factory=dict)
    marked: list[frozenset[tuple[str, str]]] = field(init=False, repr=False, default_factory=list)
    said: list[frozenset[str]] = field(init=False, repr=False, default_factory=list)

    def of_kind(self, kind: str) -> tuple[Difference, ...]:
        """Returns the differences of one kind, in order."""
        if kind not in self.kinds:  # every rule asks, and there can be a hundred thousand
            self.kinds[kind] = tuple(d for d in self.differences if d.kind == kind)
        return self.kinds[kind]

    @property
    def marks(self) -> frozenset[tuple[str, str]]:
        """Kind and key of every difference."""
        if not self.marked:
            self.marked.append(frozenset([d.mark for d in self.differences]))
        return self.marked[0]

    def says(self, pattern: re.Pattern[str]) -> bool:
        """Tells whether a pattern is found in a name (the part of a key between dots) of a key that the model does not have.

        A hundred thousand keys are made of a few hundred names, so that rules ask this before they look at every key.
        """
        if not self.said:
            extra = self.of_kind("unexpected")
            names = {name for d in extra for name in d.key.split(".")}
            names |= {name for d in extra if d.found and d.found.source != d.key for name in d.found.source.split(".")}
            self.said.append(frozenset(name for name in names if not name.isdecimal()))
        return any(map(pattern.search, self.said[0]))


@dataclass(frozen=True, slots=True)
class Rule:
    """Code that recognises one cause.

    Attributes:
        code: The cause.
        detect: Generator without side effects: facts to findings.
        phase: `explain` rules account for differences and are asked again after every step; `observe` rules run once, on
            the description that the plan arrives at, and only add warnings or information; `audit` rules run before a save,
            on the inventory of a live model; `resume` rules run once, on training state; `replay` rules run
            after a replay, on what it showed.
        page: Text of the cause: Cause, Example, Fix, Look-alike, Source.
        needs_model: Whether it has nothing to say of a file alone.
    """

    code: str
    detect: Callable[[Facts], Iterable[Finding]]
    phase: Literal["explain", "observe", "audit", "resume", "replay"] = "explain"
    page: str = ""
    needs_model: bool = True
