"""Training state in records: what a checkpoint holds for optimizers, schedulers and counters, beside what the live objects want.

Nothing here has tensors. Both sides of an optimizer are described alike, the file's and the live one's, and a pairing says which
parameter here is which there. Rules look at these records only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Shape = tuple[int, ...]

KnownBy = Literal["name", "position", "shape", "order", "unknown"]
"""How a pairing was told: by names, by position alone, by shapes of only one order, by the order in the model, or not."""

CLASS_FLAGS = frozenset({"decoupled_weight_decay"})
"""Options that the class decides and not the user: AdamW is an Adam with this one set (torch `optim/adamw.py`, 2.13)."""

IMPLEMENTATION = frozenset({"foreach", "fused", "capturable", "differentiable"})
"""Options that say how steps are computed on this machine; they stay as the live optimizer has them."""

NOT_OPTIONS = frozenset({"params", "param_names", "name"})
"""Members of a group that are not settings."""


def related(found: str, found_bases: tuple[str, ...], expected: str, expected_bases: tuple[str, ...]) -> bool:
    """Tells whether two classes are one, under whatever module it stands, or one is made from the other."""
    same = found.rpartition(".")[2] == expected.rpartition(".")[2]
    return same or found in expected_bases or expected in found_bases


@dataclass(frozen=True, slots=True)
class Slot:
    """One value that an optimizer keeps for a parameter.

    Attributes:
        dtype: Of a tensor; "" for anything else.
        shape: Of a tensor; None for anything else.
        number: Its value, where it is a plain number.
    """

    dtype: str = ""
    shape: Shape | None = None
    number: float | None = None


@dataclass(frozen=True, slots=True)
class OptimizerParameter:
    """One parameter of an optimizer.

    Attributes:
        name: Path of the parameter in its model, with the model's name in front; "" where it is not known.
        shape: Of the parameter; None where nothing tells.
        learning: Whether it requires a gradient; True where nothing tells.
        state: What is kept for it, by name.
    """

    name: str = ""
    shape: Shape | None = None
    learning: bool = True
    state: Mapping[str, Slot] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OptimizerGroup:
    """One group of parameters with its own settings.

    Attributes:
        options: Plain settings by name (`lr`, `betas`).
        places: Positions of its parameters.
    """

    options: Mapping[str, Any]
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OptimizerState:
    """An optimizer, live or in a file.

    Attributes:
        class_name: Full name of its class; "" where the file does not tell.
        groups: In order.
        parameters: By position, in the order of the groups.
        vocabulary: Texts that the code of the class mentions: the names of the state that it keeps are among them. Empty where
            they are not known.
        defaults: Names of the settings that its class has.
        joint: Whether one state stands for several parameters together.
        bases: Full names of the classes that its class is made from.
    """

    class_name: str
    groups: tuple[OptimizerGroup, ...]
    parameters: tuple[OptimizerParameter, ...]
    vocabulary: frozenset[str] = frozenset()
    defaults: frozenset[str] = frozenset()
    joint: bool = False
    bases: tuple[str, ...] = ()
    _home: Mapping[int, int] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        groups = reversed(list(enumerate(self.groups)))
        object.__setattr__(self, "_home", {place: number for number, group in groups for place in group.places})

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of what is kept for parameters, each once, in order."""
        return tuple(dict.fromkeys(name for parameter in self.parameters for name in parameter.state))

    @property
    def step(self) -> int | None:
        """How many steps were taken, by the largest count that is kept; None where none is."""
        counts = [p.state["step"].number for p in self.parameters if "step" in p.state]
        return max((int(number) for number in counts if number is not None), default=None)

    def group_of(self, place: int) -> int:
        """Returns the number of the group that a parameter is in."""
        return self._home[place]


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which parameter of a live optimizer is which one of the file.

    Attributes:
        places: Position in the live optimizer to position in the file.
        known_by: What tells it.
        unfit: Positions in the live optimizer whose state in the file has another shape.
        names: Position in the file to the name of its parameter, as far as it is known.
    """

    places: Mapping[int, int] = field(default_factory=dict)
    known_by: KnownBy = "unknown"
    unfit: tuple[int, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)

    @property
    def moved(self) -> bool:
        """Whether a parameter stands at another position than in the file."""
        return any(here != there for here, there in self.places.items())


@dataclass(frozen=True, slots=True)
class OptimizerFacts:
    """One live optimizer beside what the file holds for it.

    Attributes:
        name: What the user calls it.
        expected: The live one.
        found: The file's; None where the file has none.
        pairing: Which parameter is which.
        detached: Positions of live parameters that belong to no model that was given.
        uncovered: Names of learning parameters of the models that no optimizer holds.
        at: Where the file has its state.
        called: What the file calls its parameters, by position.
        strange: Settings in the file that the live class does not have and other classes do.
        left_behind: Names of learning parameters that the optimizer did not hold when it was saved, where it held others instead.
    """

    name: str
    expected: OptimizerState
    found: OptimizerState | None = None
    pairing: Pairing = Pairing()
    detached: tuple[int, ...] = ()
    uncovered: tuple[str, ...] = ()
    at: str = ""
    called: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()
    left_behind: tuple[str, ...] = ()

    @property
    def same_sizes(self) -> bool:
        """Whether both sides have as many groups, with as many parameters each: what torch asks for."""
        sides = (self.found.groups if self.found else (), self.expected.groups)
        return len({tuple(len(group.places) for group in groups) for groups in sides}) == 1

    @property
    def moved(self) -> tuple[int, ...]:
        """Positions of live parameters that stand elsewhere in the file, where that changes what they get."""
        found = self.found
        if found is None:
            return ()
        rows = ((here, there) for here, there in sorted(self.pairing.places.items()) if here != there)
        return tuple(
            here
            for here, there in rows
            if found.parameters[there].state
            or (here < len(found.parameters) and found.parameters[here].state)
            or found.group_of(there) != self.expected.group_of(here)
        )

    @property
    def moves(self) -> tuple[tuple[str, str], ...]:
        """Keys of the state of parameters in the file, and the keys that the live optimizer has for it, where they differ."""
        if self.found is None:
            return ()
        return tuple(
            (f"{self.at}.state.{self.called[there]}.{slot}", f"{self.at}.state.{here}.{slot}")
            for here, there in sorted(self.pairing.places.items())
            if self.called[there] != str(here) and here not in self.pairing.unfit
            for slot, value in self.found.parameters[there].state.items()
            if value.shape is not None
        )

    @property
    def lost(self) -> tuple[str, ...]:
        """What the file calls the parameters whose state no live parameter takes."""
        taken = set(self.pairing.places.values())
        listed = enumerate(self.found.parameters) if self.found else ()
        return tuple(p.name or self.pairing.names.get(n, f"#{n}") for n, p in listed if p.state and n not in taken)

    @property
    def adrift(self) -> bool:
        """Whether it moves tensors that no model has, while the models have parameters that nothing moves."""
        return bool(self.detached and self.uncovered)

    def shown(self, place: int) -> str:
        """Returns a live parameter as reports name it."""
        return self.expected.parameters[place].name or f"#{place}"

    def key(self, place: int, slot: str = "") -> str:
        """Returns the key of a live parameter's state in a report (`optimizer.exp_avg[fc.weight]`)."""
        return f"{self.name}.{slot}[{self.shown(place)}]" if slot else f"{self.name}[{self.shown(place)}]"


@dataclass(frozen=True, slots=True)
class SchedulerFacts:
    """One live scheduler beside what the file holds for it.

    Attributes:
        name: What the user calls it.
        expected: Its state, plain values by path.
        found: The file's, None where it has none.
        expected_class: Name of its class.
        found_class: Of the file's; "" where it does not tell.
        changing: Names of what stepping changes, which differ in every resumed run.
        expected_bases: Names of the classes that its class is made from.
        found_bases: Of the file's.
    """

    name: str
    expected: Mapping[str, Any]
    found: Mapping[str, Any] | None = None
    expected_class: str = ""
    found_class: str = ""
    changing: frozenset[str] = frozenset()
    expected_bases: tuple[str, ...] = ()
    found_bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """Another live object that the user wants back.

    Attributes:
        name: What the user calls it.
        kind: `scaler`, `rng` or `object`.
        class_name: Of the live one.
        wanted: Whether it has state at all; a disabled scaler has none.
        present: Whether the file holds state for it.
    """

    name: str
    kind: Literal["scaler", "rng", "object"]
    class_name: str
    wanted: bool
    present: bool


@dataclass(frozen=True, slots=True)
class Frozen:
    """A parameter whose learning is not what it was.

    Attributes:
        name: Of the parameter.
        learned: Whether it was learning when the checkpoint was saved.
        recorded: Whether the file says so itself; otherwise the state of the optimizer does.
        elements: How many numbers it has.
    """

    name: str
    learned: bool
    recorded: bool
    elements: int = 0


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """Everything that is known of training state, for rules.

    Attributes:
        optimizers: Live optimizers, each beside the file.
        schedulers: Live schedulers, each beside the file.
        objects: What else the user wants back.
        counters: Whole numbers in the file, by path.
        frozen: Parameters whose learning differs.
        elements: Numbers in all parameters that the optimizers hold.
        others: What the file holds and nobody asked for.
    """

    optimizers: tuple[OptimizerFacts, ...] = ()
    schedulers: tuple[SchedulerFacts, ...] = ()
    objects: tuple[ObjectFacts, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    frozen: tuple[Frozen, ...] = ()
    elements: int = 0
    others: tuple[str, ...] = ()
