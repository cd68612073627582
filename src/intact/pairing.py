"""Which parameter of a live optimizer is which one of the file: by name, by position, or by what only one order explains.

A file that names no parameters leaves positions, the shapes of what is kept for each, and the order in which the model defines
its parameters. Position is believed where shapes do not contradict it, because a script that did not change builds the same
order. Otherwise every order that somebody may have had is tried, and only a single one that fits is an answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from intact.core.container import TensorRecord
from intact.core.training import NOT_OPTIONS, OptimizerGroup, OptimizerParameter, OptimizerState, Pairing, Shape, Slot

PARAMETERS_LIMIT = 1_000_000
"""Most parameters of an optimizer; those of the largest models are some ten thousand."""


@dataclass(frozen=True, slots=True)
class Universe:
    """The parameters that an optimizer of the file may have held.

    Attributes:
        shapes: Name to shape in the file's model, in the order in which the model defines them.
        learning: Names of those that learn in the live model.
    """

    shapes: Mapping[str, Shape]
    learning: frozenset[str] = frozenset()


def is_optimizer_state(node: Any) -> bool:
    """Tells whether an object of a file has the form of an optimizer's state dict."""
    if not isinstance(node, dict) or not isinstance(node.get("state"), dict) or not isinstance(node.get("param_groups"), list):
        return False
    groups = node["param_groups"]
    return all(isinstance(group, dict) and isinstance(group.get("params"), list | tuple) for group in groups)


def listed_in(node: Mapping[str, Any]) -> list[Any]:
    """Returns what the file calls its parameters, by position."""
    every = (number for group in node["param_groups"] for number in group["params"] if isinstance(number, int | str))
    return [number for number, _ in zip(dict.fromkeys(every), range(PARAMETERS_LIMIT), strict=False)]


def found_in(
    node: Mapping[str, Any],
    class_name: str,
    translate: Mapping[str, str],
    bases: tuple[str, ...] = (),
    number: Callable[[TensorRecord], float | None] = lambda _: None,
) -> OptimizerState:
    """Returns the optimizer of a file as a record.

    Args:
        node: Its state dict, with inert records in place of tensors.
        class_name: Its class, "" where the file does not tell.
        translate: Names in the file to names here.
        bases: Names of the classes that its class is made from.
        number: Reads a tensor of one element, such as a count of steps.
    """
    listed = listed_in(node)
    place = {number: position for position, number in enumerate(listed)}
    names: dict[int | str, str] = {number: number for number in listed if isinstance(number, str) and not number.startswith("#")}
    for group in node["param_groups"]:
        given = group.get("param_names")
        if isinstance(given, list | tuple) and len(given) == len(group["params"]) and all(isinstance(n, str) for n in given):
            names.update(
                (number, name) for number, name in zip(group["params"], given, strict=True) if isinstance(number, int | str)
            )
    state = node["state"]
    parameters = tuple(
        OptimizerParameter(
            translate.get(names[called], names[called]) if called in names else "", None, True, _slots(state.get(called), number)
        )
        for called in listed
    )
    groups = tuple(
        OptimizerGroup(
            {str(name): _option(value) for name, value in group.items() if name not in ("params", "param_names")},
            tuple(place[number] for number in group["params"] if isinstance(number, int | str) and number in place),
        )
        for group in node["param_groups"]
    )
    return OptimizerState(class_name, groups, parameters, joint=_joint(state, listed), bases=bases)


def _joint(state: Mapping[Any, Any], listed: Sequence[Any]) -> bool:
    """Whether one state is kept for all parameters: it stands at the first, and is made of lists of tensors too."""
    kept = [number for number in listed if state.get(number)]
    return kept == list(listed[:1]) and len(listed) > 1 and any(isinstance(v, list) for v in state[kept[0]].values())


def _slots(slots: Any, number: Callable[[TensorRecord], float | None]) -> dict[str, Slot]:
    found: dict[str, Slot] = {}
    for name, value in slots.items() if isinstance(slots, dict) else ():
        if isinstance(value, TensorRecord):
            found[str(name)] = Slot(value.dtype, value.shape, number(value) if name == "step" and value.elements == 1 else None)
        elif value is not None:
            found[str(name)] = Slot(number=float(value) if isinstance(value, int | float) else None)
    return found


def _option(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_option(member) for member in value)
    return value if isinstance(value, bool | int | float | str) else None


def pair(found: OptimizerState, expected: OptimizerState, universe: Universe) -> Pairing:
    """Returns which parameter is which.

    Args:
        found: Of the file.
        expected: The live one.
        universe: What the file's optimizer may have held.
    """
    if any(parameter.name for parameter in found.parameters):
        return _by_name(found, expected, universe)
    return _without_names(found, expected, universe)


def _by_name(found: OptimizerState, expected: OptimizerState, universe: Universe) -> Pairing:
    there = {parameter.name: place for place, parameter in enumerate(found.parameters) if parameter.name}
    places = {here: there[p.name] for here, p in enumerate(expected.parameters) if p.name in there}
    left_here = [here for here, p in enumerate(expected.parameters) if here not in places and not p.name]
    left_there = [place for place in range(len(found.parameters)) if place not in set(places.values())]
    if left_here and len(left_here) == len(left_there):  # no model has them here: what is left goes by position
        places.update(zip(left_here, left_there, strict=True))
    shapes = shapes_in(found, expected, universe)
    unfit = tuple(here for here, place in sorted(places.items()) if not _fits(shapes[place], expected.parameters[here].shape))
    names = {place: parameter.name for place, parameter in enumerate(found.parameters) if parameter.name}
    return Pairing(places, "name", unfit, names)


def shapes_in(found: OptimizerState, expected: OptimizerState, universe: Universe) -> list[Shape | None]:
    """Returns the shape of each parameter of the file as far as its state tells, None where it does not.

    What is kept element by element has the shape of the parameter. A name of state counts as such where most of its tensors have
    the shape of some parameter; factors, histories and flattened vectors have not.
    """
    if found.joint:
        return [None] * len(found.parameters)
    known = {*universe.shapes.values(), *(parameter.shape for parameter in expected.parameters)}
    kept: dict[str, list[Shape]] = {}
    for parameter in found.parameters:
        for name, slot in parameter.state.items():
            if slot.shape is not None:
                kept.setdefault(name, []).append(slot.shape)
    telling = {
        name for name, shapes in kept.items() if any(shapes) and 2 * sum(shape in known for shape in shapes) >= len(shapes)
    }
    return [_shape_of(parameter, telling) for parameter in found.parameters]


def _shape_of(parameter: OptimizerParameter, telling: set[str]) -> Shape | None:
    shapes = {slot.shape for name, slot in parameter.state.items() if name in telling}
    return next(iter(shapes)) if len(shapes) == 1 else None


def _fits(kept: Shape | None, wanted: Shape | None) -> bool:
    return kept is None or wanted is None or kept == wanted


def _without_names(found: OptimizerState, expected: OptimizerState, universe: Universe) -> Pairing:
    shapes = shapes_in(found, expected, universe)
    wanted = [universe.shapes.get(p.name, p.shape) for p in expected.parameters]
    same_groups = [len(g.places) for g in found.groups] == [len(g.places) for g in expected.groups]
    if same_groups and all(map(_fits, shapes, wanted)):
        places = {here: here for here in range(len(wanted))}
        unfit = tuple(here for here, p in enumerate(expected.parameters) if not _fits(shapes[here], p.shape))
        return Pairing(places, "position", unfit, {here: p.name for here, p in enumerate(expected.parameters) if p.name})
    names = [parameter.name or f"#{place}" for place, parameter in enumerate(expected.parameters)]
    every = {**dict(zip(names, wanted, strict=True)), **{n: s for n, s in universe.shapes.items() if n not in names}}
    orders = list(_orders(found, expected, names, universe, shapes, every))
    fitting = {order for order in orders if all(_fits(s, every[n]) for s, n in zip(shapes, order, strict=True))}
    if len(fitting) == 1:
        order = next(iter(fitting))
        return _told(order, names, expected, shapes, "shape" if _only_one(shapes, every, order) else "order")
    if same_groups and Counter(shapes) != Counter(wanted) and not _another_order(shapes, wanted):
        unfit = tuple(here for here in range(len(wanted)) if not _fits(shapes[here], wanted[here]))
        return Pairing({here: here for here in range(len(wanted))}, "position", unfit)
    return Pairing()


def _another_order(shapes: Sequence[Shape | None], wanted: Sequence[Shape | None]) -> bool:
    """Whether the misfits by position are the same shapes on both sides, only at other places."""
    rows = [(a, b) for a, b in zip(shapes, wanted, strict=True) if not _fits(a, b)]
    return bool(Counter(a for a, _ in rows) & Counter(b for _, b in rows))


def _told(
    order: Sequence[str], names: Sequence[str], expected: OptimizerState, shapes: Sequence[Shape | None], known_by: Any
) -> Pairing:
    there = {name: place for place, name in enumerate(order)}
    places = {here: there[name] for here, name in enumerate(names) if name in there}
    unfit = tuple(here for here, place in places.items() if not _fits(shapes[place], expected.parameters[here].shape))
    return Pairing(places, known_by, unfit, {place: name for place, name in enumerate(order) if not name.startswith("#")})


def _only_one(shapes: Sequence[Shape | None], every: Mapping[str, Shape | None], order: Sequence[str]) -> bool:
    held = [every[name] for name in order]
    return None not in shapes and max(Counter(held).values(), default=0) == 1


def _orders(
    found: OptimizerState,
    expected: OptimizerState,
    names: Sequence[str],
    universe: Universe,
    shapes: Sequence[Shape | None],
    every: Mapping[str, Shape | None],
) -> Iterator[tuple[str, ...]]:
    """Yields the orders in which the file's optimizer may have held parameters, as names by position."""
    rank = {name: number for number, name in enumerate(universe.shapes)}
    total = len(found.parameters)
    in_model = sorted(names, key=lambda name: rank.get(name, len(rank)))
    for candidates in (in_model, list(universe.shapes), [name for name in universe.shapes if name in universe.learning]):
        if len(candidates) == total:
            yield from _by_shape(shapes, candidates, every)
            yield from _in_groups(found.groups, shapes, candidates, every)
            yield tuple(candidates)
        elif len(candidates) > total and (only := _embedded(shapes, candidates, every)) is not None:
            yield only
    yield from _by_groups(found, expected, names, rank)


def _by_shape(
    shapes: Sequence[Shape | None], candidates: Sequence[str], every: Mapping[str, Shape | None]
) -> Iterator[tuple[str, ...]]:
    """Yields the one order in which every shape meets its only owner."""
    owners: dict[Shape | None, list[str]] = {}
    for name in candidates:
        owners.setdefault(every[name], []).append(name)
    found = [owners.get(shape, []) for shape in shapes]
    if all(len(one) == 1 for one in found) and len({one[0] for one in found}) == len(candidates):
        yield tuple(one[0] for one in found)


def _in_groups(
    groups: Sequence[OptimizerGroup], shapes: Sequence[Shape | None], candidates: Sequence[str], every: Mapping[str, Shape | None]
) -> Iterator[tuple[str, ...]]:
    """Yields the order in which every group holds its parameters as the model defines them, where shapes tell the group."""
    waiting: dict[Shape | None, list[str]] = {}
    for name in reversed(candidates):
        waiting.setdefault(every[name], []).append(name)
    home = {place: number for number, group in enumerate(groups) for place in group.places}
    rank = {name: number for number, name in enumerate(candidates)}
    groups_of = {shape: {home.get(place) for place, one in enumerate(shapes) if one == shape} for shape in set(shapes)}
    if (
        None in shapes
        or any(len(numbers) > 1 for numbers in groups_of.values())
        or Counter(shapes) != Counter(map(every.get, candidates))
    ):
        return
    order = tuple(waiting[shape].pop() for shape in shapes)
    if all(rank[order[a]] < rank[order[b]] for group in groups for a, b in zip(group.places, group.places[1:], strict=False)):
        yield order


def _by_groups(
    found: OptimizerState, expected: OptimizerState, names: Sequence[str], rank: Mapping[str, int]
) -> Iterator[tuple[str, ...]]:
    """Yields orders in which groups hold their parameters as the model defines them: groups alike by number, or by settings."""

    def ordered(places: Sequence[int]) -> list[str]:
        return sorted((names[place] for place in places), key=lambda name: rank.get(name, len(rank)))

    if [len(g.places) for g in found.groups] == [len(g.places) for g in expected.groups]:
        yield tuple(name for group in expected.groups for name in ordered(group.places))
    alike = [[p for g in expected.groups if _settings_agree(one, g) for p in g.places] for one in found.groups]
    if all(len(places) == len(one.places) for places, one in zip(alike, found.groups, strict=True)):
        order = tuple(name for places in alike for name in ordered(places))
        if len(set(order)) == len(order):
            yield order


def _settings_agree(one: OptimizerGroup, other: OptimizerGroup) -> bool:
    shared = one.options.keys() & other.options.keys() - NOT_OPTIONS - {"lr", "initial_lr"}
    return all(one.options[name] == other.options[name] for name in shared)


def _embedded(
    shapes: Sequence[Shape | None], candidates: Sequence[str], every: Mapping[str, Shape | None]
) -> tuple[str, ...] | None:
    """Returns the only way in which the file's parameters are some of the model's, in its order; None for none or several."""
    if not shapes or None in shapes or len(shapes) * len(candidates) > 4_000_000:
        return None
    first = _greedy(shapes, candidates, every)
    last = _greedy(shapes[::-1], candidates[::-1], every)
    if first is None or last is None or first != last[::-1]:
        return None
    return first


def _greedy(
    shapes: Sequence[Shape | None], candidates: Sequence[str], every: Mapping[str, Shape | None]
) -> tuple[str, ...] | None:
    """Returns the first embedding; it is the only one just where the last is the same."""
    taken: list[str] = []
    place = 0
    for shape in shapes:
        while place < len(candidates) and every[candidates[place]] != shape:
            place += 1
        if place == len(candidates):
            return None
        taken.append(candidates[place])
        place += 1
    return tuple(taken)
