"""What the methods of a class do to its own attributes: when, under which test, and out of what.

The syntax trees of the constructor, of `forward` and of the other methods are followed in order, calls on `self` included,
with two marks on every value: whether it is random, and whether it comes from the data that the method was given. Nothing is
run, and what cannot be followed carries no mark, so that evidence is missed rather than made up.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from intact.model.survival import flow
from intact.model.survival.effect import DATA, OPAQUE, RANDOM, Effect, Effects, Env, Guards, How, Phase
from intact.model.survival.methods import Method, is_of_library, methods_of, names_in, per_class, reached_from, tree_of

DEEPEST = 6
"""Calls on `self` that are followed into each other."""

_CLEARING = frozenset({"reset", "clear", "flush", "zero"})
_CONSTRUCTING = frozenset({"parameters", "parameter", "weights", "running", "stats", "buffers"})
"""Words in the names of methods."""

MOST_CALLS = 2_000
"""Methods that are followed for one class, each under other tests and with other marks counted anew."""


@per_class
def effects_of(cls: type) -> Effects:
    """Returns what the methods of a class do to its attributes; the same record each time."""
    methods = methods_of(cls)
    own = {name for listed in methods.values() for method in listed for name in names_in(method.function)}
    bases = (base for base in cls.__mro__ if is_of_library(base) and base.__name__ not in ("Module", "object"))
    library = {name for base in bases for name in _mentioned_by(base)}
    reader = _Reader(methods)
    try:
        reader.construct()
        reader.run()
        reader.later()
    except RecursionError:
        return Effects(mentioned=frozenset(own | library))
    readable = any(tree_of(method.function) is not None for method in methods.get("__init__", ()))
    dynamic = bool(reader.dynamic_in) or bool(own & {"__dict__", "__setstate__"})
    effects = tuple(dict.fromkeys(reader.effects))
    return Effects(
        effects,
        frozenset(reader.reads),
        frozenset(reader.used if "forward" in methods else own),
        frozenset(effect.name for effect in effects if _clears(effect.method)),
        any(map(_clears, reader.dynamic_in)),
        frozenset(own | library),
        dynamic,
        readable,
    )


def _clears(method: str) -> bool:
    """Whether a method puts back what was gathered, by its name; one that puts parameters back constructs."""
    words = set(method.strip("_").split("_"))
    return bool(words & {"reset", "clear", "flush", "zero"}) and not words & {
        "parameters",
        "parameter",
        "running",
        "stats",
        "buffers",
    }


def _mentioned_by(cls: type) -> Iterable[str]:
    for value in vars(cls).values():
        if isinstance(inner := getattr(value, "__func__", value), FunctionType):
            yield from names_in(inner)
            yield from (text for text in inner.__code__.co_consts if isinstance(text, str) and text.isidentifier())


@dataclass(slots=True)
class _Place:
    """Where the reader is: in which method, on whose account, under which tests."""

    method: Method
    phase: Phase
    me: str
    env: Env
    depth: int
    seeded: bool
    returned: int = 0


@dataclass(slots=True)
class _Reader:
    """Follows methods and keeps what they do."""

    methods: dict[str, list[Method]]
    effects: list[Effect] = field(default_factory=list)
    reads: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    dynamic_in: set[str] = field(default_factory=set)
    attributes: Env = field(default_factory=dict)
    _done: dict[Any, int] = field(default_factory=dict)
    _reached: set[str] = field(default_factory=set)

    def construct(self) -> None:
        """Follows the constructor, and what it may call by way of others."""
        self._enter("__init__", "construct", 0)
        for name in reached_from("__init__", self.methods) - self._reached:
            self._enter(name, "construct", 0)

    def run(self) -> None:
        """Follows `forward`, and properties, which run when somebody looks."""
        before = set(self._reached)
        for name in ("forward", "__call__"):
            self._enter(name, "run", DATA)
        for name, listed in self.methods.items():
            if listed[0].is_property and name not in before:
                self._enter(name, "run", 0)

    def later(self) -> None:
        """Follows every method that neither the constructor nor `forward` reaches."""
        for name in [name for name in self.methods if name not in self._reached]:
            self._enter(name, "later", DATA)

    def _enter(self, name: str, phase: Phase, marks: int) -> None:
        for method in self.methods.get(name, [])[:1]:
            self._follow(method, phase, marks, None, frozenset(), 0)

    def _follow(self, method: Method, phase: Phase, marks: int, call: Env | None, guards: Guards, depth: int) -> int:
        """Follows one method; returns the marks of what it gives back."""
        self._reached.add(method.name)
        tree = tree_of(method.function)
        if tree is None or depth > DEEPEST or not method.is_bound:
            return marks
        env = flow.parameters_of(tree, marks, call)
        key = (method.function, phase, tuple(sorted(env.items())), guards)
        if key in self._done or len(self._done) > MOST_CALLS:
            return self._done.get(key, marks)
        self._done[key] = marks
        first = (*tree.args.posonlyargs, *tree.args.args)
        if not first:
            return marks
        seeded = bool(flow.SEEDS & names_in(method.function)) and flow.is_seeded(tree)
        place = _Place(method, phase, first[0].arg, env, depth, seeded)
        self._block(tree.body, place, guards)
        self._done[key] = place.returned
        return place.returned

    def _block(self, body: Sequence[ast.stmt], place: _Place, guards: Guards) -> None:
        for statement in body:
            guards = guards | self._statement(statement, place, guards)

    def _statement(self, node: ast.stmt, place: _Place, guards: Guards) -> Guards:
        """Follows one statement; returns the attributes that are not there yet in all that follows it."""
        if isinstance(node, ast.If):
            return self._branch(node, place, guards)
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            self._assignment(node, place, guards)
        elif isinstance(node, ast.Return):
            if node.value is not None:
                self._look(node.value, place, frozenset())
                place.returned |= self._marks(node.value, place, guards)
        elif isinstance(node, ast.Expr):
            updated = self._updates(node.value, place, guards)
            self._look(node.value, place, updated)
            self._marks(node.value, place, guards)
        else:
            self._compound(node, place, guards)
        return frozenset()

    def _compound(self, node: ast.stmt, place: _Place, guards: Guards) -> None:
        """Loops, `with`, `try`, functions within functions: what they hold is followed in order."""
        if isinstance(node, ast.For | ast.AsyncFor):
            self._look(node.iter, place, frozenset())
            marks = self._marks(node.iter, place, guards)
            place.env.update((name, marks) for name in flow.bound_names(node.target))
        elif isinstance(node, ast.While):
            self._look(node.test, place, frozenset())
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                self._marks(item.context_expr, place, guards)
        for field_name in ("body", "orelse", "finalbody"):
            self._block(getattr(node, field_name, ()), place, guards)
        for handler in getattr(node, "handlers", ()):
            self._block(handler.body, place, guards)

    def _branch(self, node: ast.If, place: _Place, guards: Guards) -> Guards:
        holds, fails = flow.asked(node.test, place.me)
        flags = flow.flags_in(node.test, place.me)
        self._look(node.test, place, holds | fails)
        self._marks(node.test, place, guards)
        self._block(node.body, place, guards | holds | flags)
        self._block(node.orelse, place, guards | fails)
        leaves = bool(node.body) and isinstance(node.body[-1], ast.Return | ast.Raise | ast.Continue)
        return fails if leaves else frozenset()

    def _assignment(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign, place: _Place, guards: Guards) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if node.value is None:
            return
        roots = frozenset(name for target in targets if (name := flow.root_of(target, place.me)))
        updated = self._updates(node.value, place, guards)
        self._look(node.value, place, roots | updated)
        marks = self._marks(node.value, place, guards)
        for target in targets:
            self._bind(target, node.value, marks, place, guards, isinstance(node, ast.AugAssign))

    def _bind(self, target: ast.expr, value: ast.expr, marks: int, place: _Place, guards: Guards, augmented: bool) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            paired = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
            for position, inner in enumerate(target.elts):
                part = value.elts[position] if paired and isinstance(value, ast.Tuple | ast.List) else value
                own = self._marks(part, place, guards) if paired else marks
                self._bind(inner, part, own, place, guards, augmented)
        elif isinstance(target, ast.Starred):
            self._bind(target.value, value, marks, place, guards, augmented)
        elif isinstance(target, ast.Name):
            place.env[target.id] = marks | (place.env.get(target.id, 0) if augmented else 0)
        elif name := flow.root_of(target, place.me):
            direct = bool(flow.attribute_of_self(target, place.me))
            how: How = "assign" if direct else "part" if isinstance(target, ast.Subscript) else "inplace"
            own = augmented or flow.is_running(value, name, place.me)
            self._effect(name, "accumulate" if augmented else how, marks, own, place, guards, value if direct else None)

    def _updates(self, node: ast.AST, place: _Place, guards: Guards) -> frozenset[str]:
        """Keeps what the calls of an expression do to attributes in place; returns those attributes."""
        names = set()
        for call in (inner for inner in ast.walk(node) if isinstance(inner, ast.Call)):
            if name := self._update(call, place, guards):
                names.add(name)
        return frozenset(names)

    def _update(self, call: ast.Call, place: _Place, guards: Guards) -> str:
        name, given = flow.call_name(call), [*call.args, *(keyword.value for keyword in call.keywords)]
        if name in ("register_buffer", "register_parameter", "setattr", "__setattr__"):
            return self._registration(call, place, guards)
        in_place = name.endswith("_") and not name.endswith("__")
        target = ""
        if in_place and isinstance(call.func, ast.Attribute):
            target = flow.root_of(call.func.value, place.me)
            function = flow.resolved(call.func, place.method.function.__globals__)
            if not target and call.args and function is not None:  # `nn.init.normal_(self.weight)`
                target = flow.root_of(call.args[0], place.me)
        elif in_place and isinstance(call.func, ast.Name) and call.args:  # the same, imported by its name
            target = flow.root_of(call.args[0], place.me)
        if not target:
            target = next((flow.root_of(k.value, place.me) for k in call.keywords if k.arg == "out"), "")
        if not target:
            return ""
        marks = 0
        for value in given:
            marks |= self._marks(value, place, guards)
        if flow.is_random(call) and not place.seeded:
            marks |= RANDOM
        own = name in flow.ACCUMULATING or any(flow.is_running(value, target, place.me) for value in given)
        self._effect(target, "accumulate" if own else "inplace", marks, own, place, guards, None)
        return target

    def _registration(self, call: ast.Call, place: _Place, guards: Guards) -> str:
        on_self = isinstance(call.func, ast.Attribute) and flow.is_name(call.func.value, place.me)
        arguments = call.args if on_self else call.args[1:]
        if not on_self and not (call.args and flow.is_name(call.args[0], place.me)):
            return ""  # another object's
        named = [*arguments[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "name")]
        values = [*arguments[1:2], *(keyword.value for keyword in call.keywords if keyword.arg in ("tensor", "param"))]
        if not named or not isinstance(named[0], ast.Constant) or not isinstance(named[0].value, str):
            self.dynamic_in.add(place.method.name)
            return ""
        value = values[0] if values else None
        marks = self._marks(value, place, guards) if value is not None else 0
        own = value is not None and flow.is_running(value, named[0].value, place.me)
        how: How = "register" if flow.call_name(call).startswith("register") else "assign"
        self._effect(named[0].value, how, marks, own, place, guards, value)
        return named[0].value

    def _effect(self, name: str, how: How, marks: int, own: bool, place: _Place, guards: Guards, value: ast.expr | None) -> None:
        constant = value.value if isinstance(value, ast.Constant) else ...
        if isinstance(value, ast.UnaryOp) and isinstance(value.operand, ast.Constant):
            constant = value.operand.value
        if place.phase == "construct":
            self.attributes[name] = self.attributes.get(name, 0) | marks
        self.effects.append(Effect(name, place.phase, how, marks, own, guards, place.method.name, constant))

    def _look(self, node: ast.AST, place: _Place, leave_out: frozenset[str]) -> None:
        """Keeps which attributes an expression reads, beside those whose own update it is."""
        if place.phase == "construct":
            return
        for inner in ast.walk(node):
            if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Load):
                name = flow.attribute_of_self(inner, place.me)
                if name and name not in leave_out:
                    self.reads.add(name)
                    if place.phase == "run":
                        self.used.add(name)

    def _marks(self, node: ast.AST, place: _Place, guards: Guards) -> int:
        """Returns the marks of a value."""
        if isinstance(node, ast.Name):
            return place.env.get(node.id, 0)
        if isinstance(node, ast.Attribute):
            if node.attr in flow.SHAPES:
                return 0
            name = flow.attribute_of_self(node, place.me)
            if name:
                return self.attributes.get(name, 0)
            drawn = OPAQUE if node.attr in ("weight", "bias") and flow.root_of(node, place.me) else 0
            return drawn | self._marks(node.value, place, guards)
        if isinstance(node, ast.Call):
            return self._call(node, place, guards)
        if isinstance(node, ast.Lambda | ast.Constant | ast.JoinedStr):
            return 0
        if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
            for generator in node.generators:
                marks = self._marks(generator.iter, place, guards)
                place.env.update((name, marks) for name in flow.bound_names(generator.target))
        if isinstance(node, ast.Subscript):  # which element is taken says little of its value
            return self._marks(node.value, place, guards)
        marks = 0
        for child in ast.iter_child_nodes(node):
            marks |= self._marks(child, place, guards) if not isinstance(child, ast.comprehension) else 0
        return marks

    def _call(self, call: ast.Call, place: _Place, guards: Guards) -> int:
        name, values = flow.call_name(call), [*call.args, *(keyword.value for keyword in call.keywords)]
        random = RANDOM if flow.is_random(call) and not place.seeded else 0
        if name in flow.LIKE or name in flow.SHAPES:
            return random
        receiver = call.func.value if isinstance(call.func, ast.Attribute) else None
        if name in ("parameters", "named_parameters", "state_dict"):  # drawn by the layers themselves
            return OPAQUE | (self._marks(receiver, place, guards) if receiver is not None else 0)
        if receiver is not None and name in flow.VALUE_OF_RECEIVER:
            return self._marks(receiver, place, guards)
        marks = [self._marks(value, place, guards) for value in values]
        followed = self._own_method(call, place)
        if followed is not None:
            return random | self._follow_call(followed, call, marks, place, guards)
        joined = random
        for mark in marks:
            joined |= mark
        if receiver is not None and not flow.is_name(receiver, place.me):
            joined |= self._marks(receiver, place, guards)
        return joined | self._helper(call, place)

    def _own_method(self, call: ast.Call, place: _Place) -> Method | None:
        """The method that `self.name(…)` or `super().name(…)` means."""
        if not isinstance(call.func, ast.Attribute):
            return None
        receiver, listed = call.func.value, self.methods.get(call.func.attr, [])
        if flow.is_name(receiver, place.me):
            return listed[0] if listed else None
        if isinstance(receiver, ast.Call) and flow.call_name(receiver) == "super":
            return next((method for method in listed if method.rank > place.method.rank), None)
        return None

    def _follow_call(self, method: Method, call: ast.Call, marks: list[int], place: _Place, guards: Guards) -> int:
        tree = tree_of(method.function)
        if tree is None:
            return max(marks, default=0)
        names = [argument.arg for argument in (*tree.args.posonlyargs, *tree.args.args)][1:]
        given = dict(zip(names, marks[: len(call.args)], strict=False))
        words = zip(call.keywords, marks[len(call.args) :], strict=True)
        given.update((keyword.arg, mark) for keyword, mark in words if keyword.arg is not None)
        return self._follow(method, place.phase, 0, given, guards, place.depth + 1)

    def _helper(self, call: ast.Call, place: _Place) -> int:
        """Whether a function that is no method makes random values without a seed, or cannot be followed."""
        helper = flow.resolved(call.func, place.method.function.__globals__)
        if helper is None:
            local = isinstance(call.func, ast.Name) and call.func.id not in vars(builtins)
            return OPAQUE if local and call.func is not None else 0
        if isinstance(helper, type):
            return 0 if is_of_library(helper) or helper.__module__.partition(".")[0] in flow.PURE else OPAQUE
        if not isinstance(helper, FunctionType):
            return 0
        return RANDOM if not place.seeded and flow.draws(helper, 0) else 0
