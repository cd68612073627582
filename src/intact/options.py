"""Settings of an optimizer's groups beside those of the file: what loading takes from the file, and what it would change unasked.

Torch replaces a group by the file's. The learning rate is what a checkpoint is for, and so is whatever a schedule moves; anything
else that differs was configured, on one side or the other, and is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from intact.core.training import CLASS_FLAGS, IMPLEMENTATION, NOT_OPTIONS, OptimizerFacts, related

_CYCLED = frozenset({"momentum", "betas"})
"""Settings that `OneCycleLR` and `CyclicLR` move too, where a group says so by `max_momentum` (torch `optim/lr_scheduler.py`)."""


@dataclass(frozen=True, slots=True)
class OptionRow:
    """One setting of one live group that differs from the file's.

    Attributes:
        group: Number of the live group.
        name: Of the setting.
        found: The file's values for the parameters of the group, each once.
        expected: The live one.
        kept: Which of them is in force after loading.
    """

    group: int
    name: str
    found: tuple[Any, ...]
    expected: Any
    kept: Literal["file", "own"]


def option_rows(facts: OptimizerFacts) -> Iterator[OptionRow]:
    """Yields the settings that differ, without what schedules move and what only says how steps are computed."""
    if facts.found is None:
        return
    for number, group in enumerate(facts.expected.groups):
        values = _values(facts, number)
        for name, own in group.options.items():
            found = values.get(name, ())
            if not found or _moves(name, group.options, values) or all(equal(value, own) for value in found):
                continue
            kept: Literal["file", "own"] = "own" if name in CLASS_FLAGS or len(found) > 1 else "file"
            yield OptionRow(number, name, found, own, kept)


def settings(facts: OptimizerFacts) -> list[dict[str, int]]:
    """Returns what each live group takes from the file: name of a setting to the number of the file's group that has it.

    A setting is taken where the file has the same one for all parameters of the group.
    """
    taken = []
    for number in range(len(facts.expected.groups)):
        agreed = [name for name, found in _values(facts, number).items() if len(found) == 1 and not stays(name)]
        homes = _groups_of(facts, number)
        every = ((name, home) for name in agreed for home in homes if facts.found and name in facts.found.groups[home].options)
        taken.append(dict(reversed(list(every))))
    return taken


def homes(facts: OptimizerFacts) -> list[int | None]:
    """Returns for each live group the number of the file's group that its parameters were in; None where it is not just one."""
    every = [_groups_of(facts, number) for number in range(len(facts.expected.groups))]
    return [listed[0] if len(listed) == 1 else None for listed in every]


def regrouped(found: Any, own: Any, groups: Sequence[int | None], count: int) -> Any:
    """Returns the state of a scheduler with what it has for each group in the order of the live groups.

    Args:
        found: The file's.
        own: The live one, which has what no group of the file tells.
        groups: For each live group the file's, as `homes` gives it.
        count: How many groups the file has.
    """
    if list(groups) == list(range(count)):
        return found
    if isinstance(found, Mapping) and isinstance(own, Mapping):
        made = {name: regrouped(value, own.get(name), groups, count) for name, value in found.items()}
        return made if not isinstance(found, Counter) else found
    if not isinstance(found, list) or not isinstance(own, list):
        return found
    if len(found) == len(own) and any(isinstance(member, Mapping) for member in found):
        return [regrouped(there, here, groups, count) for there, here in zip(found, own, strict=True)]
    if len(found) == count and len(own) == len(groups):
        return [here if home is None else found[home] for here, home in zip(own, groups, strict=True)]
    return found


def stays(name: str) -> bool:
    """Whether a setting is never taken from a file, because the class or this machine decides it."""
    return name in CLASS_FLAGS or name in IMPLEMENTATION or name in NOT_OPTIONS


def _groups_of(facts: OptimizerFacts, number: int) -> list[int]:
    """Numbers of the file's groups that hold the parameters of a live group."""
    if facts.found is None:
        return []
    places = facts.expected.groups[number].places
    homes = dict.fromkeys(facts.found.group_of(facts.pairing.places[p]) for p in places if p in facts.pairing.places)
    if not homes and len(facts.found.groups) == len(facts.expected.groups):
        return [number]
    return list(homes)


def _values(facts: OptimizerFacts, number: int) -> dict[str, tuple[Any, ...]]:
    """The values that the file has for the parameters of a live group, by name of the setting, each once."""
    found: dict[str, list[Any]] = {}
    for home in _groups_of(facts, number):
        for name, value in facts.found.groups[home].options.items() if facts.found else ():
            seen = found.setdefault(name, [])
            if not any(equal(value, other) for other in seen):
                seen.append(value)
    return {name: tuple(values) for name, values in found.items()}


def _moves(name: str, own: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether a setting is the schedule's, or nobody's."""
    if stays(name) and name not in CLASS_FLAGS:
        return True
    if name == "lr" or name.endswith(("_lr", "lr_scale")):
        return True
    return name in _CYCLED | {"max_momentum", "base_momentum"} and ("max_momentum" in own or "max_momentum" in found)


def equal(one: Any, other: Any) -> bool:
    """Tells whether two settings are the same number, text or sequence of them."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(equal(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, bool) is not isinstance(other, bool) and None not in (one, other):
        return bool(one) == bool(other)
    return bool(one == other)


def _one_class(facts: OptimizerFacts) -> bool:
    """Whether the file says that the live class, or one that is made from it, wrote the state."""
    there, here = facts.found, facts.expected
    return there is not None and bool(there.class_name) and related(there.class_name, there.bases, here.class_name, here.bases)


def missing_options(facts: OptimizerFacts) -> list[str]:
    """Returns numbers that the live class is configured by and no group of the file has: another class wrote it.

    Flags are no evidence, because releases add them.
    """
    if facts.found is None or _one_class(facts) or not facts.found.groups:
        return []
    there = {name for group in facts.found.groups for name in group.options}
    numbers = {
        name
        for group in facts.expected.groups
        for name, value in group.options.items()
        if value is not None and not isinstance(value, bool | str) and not _moves(name, group.options, {})
    }
    return sorted((numbers & facts.expected.defaults) - there)


def unknown_state(facts: OptimizerFacts) -> list[str]:
    """Returns names of what the file keeps and the code of the live class does not mention, where it mentions others."""
    if facts.found is None or _one_class(facts):
        return []
    words, kept = facts.expected.vocabulary, [name for name in facts.found.state_names if name != "step"]
    unknown = [name for name in kept if name not in words]
    if len(unknown) == len(kept):  # the class keeps its state in code of another one
        return unknown if missing_options(facts) else []
    return unknown if _other_settings(facts) else []


def _other_settings(facts: OptimizerFacts) -> bool:
    """Whether the groups of the file have other settings than the live ones, by name."""
    assert facts.found is not None
    there, here = (
        {n for group in side.groups for n in group.options if not stays(n) and not _moves(n, group.options, {})}
        for side in (facts.found, facts.expected)
    )
    return there != here


def is_other_class(facts: OptimizerFacts) -> bool:
    """Whether the state in the file is that of a class whose state the live one cannot go on with."""
    return bool(missing_options(facts) or unknown_state(facts))
