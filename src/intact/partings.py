"""What is known of the place where two runs part: the module then and now, in words and as evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from intact.behaviour import rows_of
from intact.core.behaviour import AttributeChange, BehaviourFacts, Parting
from intact.core.description import ModuleInfo
from intact.core.rule import Facts
from intact.core.wording import place, some

MOST_SHOWN = 40
"""Hyperparameters of one module that stand in the evidence."""


def evidence_of(facts: Facts, behaviour: BehaviourFacts) -> dict[str, Any]:
    """Returns the place where the runs part as plain data: the module, its attributes and its source then and now."""
    replay = behaviour.replay
    if replay is None:
        return {}
    found: dict[str, Any] = {"status": replay.status, "outputs": rows_of(replay.gaps)}
    if (part := replay.place) is not None:
        found |= {"module": part.path, "class": part.class_name, "relative": part.difference}
        found |= {"before": part.before} if part.before else {}
        found |= {"after": part.after} if part.after else {}
        found |= _module(facts, behaviour, part)
    if behaviour.environment:
        found["environment"] = list(behaviour.environment)
    return found


def _module(facts: Facts, behaviour: BehaviourFacts, part: Parting) -> dict[str, Any]:
    then, now = facts.original.recorded.get(part.path), facts.expected.modules.get(part.path)
    found: dict[str, Any] = {"hyperparameters_then": _shown(then), "hyperparameters_now": _shown(now)}
    changed = {row.name: [row.then, row.now] for row in behaviour.attributes if row.path == part.path}
    found |= {"changed": changed} if changed else {}
    source = next((row for row in behaviour.sources if row.class_name == part.class_name), None)
    if source is not None:
        found |= {"source_then": source.then, "source_now": source.now, "source_lines": list(source.lines)}
    return found


def _shown(module: ModuleInfo | None) -> Mapping[str, Any]:
    return dict(list(module.hyperparameters.items())[:MOST_SHOWN]) if module is not None else {}


def related(behaviour: BehaviourFacts) -> tuple[AttributeChange, ...]:
    """Returns the attributes that differ in the module where the runs part, in those within it, and in those around it."""
    part = behaviour.replay.place if behaviour.replay is not None else None
    if part is None:
        return ()
    return tuple(row for row in behaviour.attributes if is_within(row.path, part.path) or is_within(part.path, row.path))


def is_within(path: str, owner: str) -> bool:
    """Tells whether a module is another one or stands in it."""
    return not owner or path == owner or path.startswith(f"{owner}.")


def where(part: Parting) -> str:
    """Returns the place in words: `layers.0.act` (GELU), and between which calls it is in the code of a larger module."""
    name = part.class_name.rpartition(":")[2].rpartition(".")[2]
    text = f"{place(part.path)} ({name})"
    if part.before:
        return f"{text}, before it calls `{part.before}`"
    return f"{text}, after it called `{part.after}`" if part.after else text


def reasons(behaviour: BehaviourFacts) -> str:
    """Returns what may be behind another behaviour, as far as anything is known to differ."""
    part = behaviour.replay.place if behaviour.replay is not None else None
    near = related(behaviour)
    if part is not None and near:
        exact = [row for row in near if row.path == part.path] or list(near)
        return f"there {change_text(exact[0])}" + (f", and {len(exact) - 1} more attributes differ" if len(exact) > 1 else "")
    if part is not None and any(row.class_name == part.class_name for row in behaviour.sources):
        return f"the source of `{part.class_name}` changed since"
    if behaviour.buffers:
        return (
            f"{some(behaviour.buffers)} outside of the state dict {'has' if len(behaviour.buffers) == 1 else 'have'} other values"
        )
    if behaviour.sources:
        return f"the source of {some(row.class_name for row in behaviour.sources)} changed since"
    if behaviour.environment:
        return f"weights, attributes and sources are those of the save; the environment is another: {behaviour.environment[0]}"
    return "weights and recorded attributes are those of the save, so the code that runs is another"


def change_text(row: AttributeChange) -> str:
    """Returns one change as a clause: `eps` was 1e-05 and is 1e-06."""
    if row.name == "class":
        return f"the class was `{row.then}` and is `{row.now}`"
    return f"`{row.name}` was {row.then!r} and is {row.now!r}"


def grouped(rows: Iterable[AttributeChange]) -> list[tuple[AttributeChange, list[str]]]:
    """Returns each distinct change once, with the paths of all modules that have it."""
    found: dict[Any, tuple[AttributeChange, list[str]]] = {}
    for row in rows:
        found.setdefault((row.class_name, row.name, repr(row.then), repr(row.now)), (row, []))[1].append(row.path)
    return list(found.values())
