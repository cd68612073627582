"""What a constructor's text says of where its arguments went.

`self.linear1 = Linear(d_model, 4 * width)` says that `d_model` is `self.linear1.in_features` and `width` a quarter of
`self.linear1.out_features`. The text is only read; what it suggests is evidence that a rebuilding has to prove.
"""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from intact.model.making.signatures import parameters_of
from intact.model.making.sources import source_of

if TYPE_CHECKING:
    import torch

_MOST_DEPTH = 8
_MOST_INLINED = 5_000
_FACTORIES = frozenset({"empty", "zeros", "ones", "rand", "randn", "full", "normal"})
_inits: WeakKeyDictionary[type, ast.FunctionDef | None] = WeakKeyDictionary()
Hint = tuple[str, Any]
"""Name of a parameter, and a value that it may have had."""


def hints_of(module: torch.nn.Module) -> list[Hint]:
    """Returns what the text of a constructor suggests for its parameters, given the instance that it left."""
    try:
        first = list(_Reader({})._hints(module, None, 0))
        known: dict[str, Any] = {}
        for name, value in first:
            known.setdefault(name, value)
        return [*first, *_Reader(known)._hints(module, None, 0)]
    except Exception:  # noqa: BLE001 - evidence only: instances may answer anything when they are asked for an attribute
        return []


def names_used_as_text(cls: type) -> tuple[str, ...]:
    """Returns the texts that a constructor mentions, such as the names of modes that it knows."""
    init = _init_of(next((base for base in cls.__mro__ if "__init__" in vars(base)), object))
    found = (node.value for node in ast.walk(init) if isinstance(node, ast.Constant)) if init else ()
    return tuple(dict.fromkeys(text for text in found if isinstance(text, str) and 0 < len(text) < 30))


class _Reader:
    """Reads one constructor's text against an instance.

    Args:
        known: Values of parameters that an earlier reading suggested; `dim * ratio` is solved with them.
    """

    def __init__(self, known: Mapping[str, Any]) -> None:
        self._known = known

    def _hints(self, module: torch.nn.Module, cls: type | None, depth: int) -> Iterator[Hint]:
        cls = cls or type(module)
        owner = next((base for base in cls.__mro__ if "__init__" in vars(base)), object)
        init = _init_of(owner)
        if init is None or depth > 3:
            return
        for node in ast.walk(init):
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    yield from self._assigned(target, node.value, module)
            elif isinstance(node, ast.Call):
                yield from self._called(node, module, owner, depth)
            elif isinstance(node, ast.If):
                yield from self._conditions(node, module)

    def _assigned(self, target: ast.expr, value: ast.expr, module: torch.nn.Module) -> Iterator[Hint]:
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
            live = getattr(module, target.attr, None) if _held(module, target.attr) else None
            yield from self._match(value, live, 0)

    def _called(self, node: ast.Call, module: torch.nn.Module, owner: type, depth: int) -> Iterator[Hint]:
        """`super().__init__(…)` leads to the base class, `self.register_…("name", f(x))` to what was registered."""
        function = node.func
        if not isinstance(function, ast.Attribute):
            return
        if function.attr == "__init__" and isinstance(function.value, ast.Call):
            place = type(module).__mro__.index(owner) + 1
            base = next((one for one in type(module).__mro__[place:] if "__init__" in vars(one)), None)
            if base is not None:
                yield from self._of_base(node, module, base, depth)
        elif (
            function.attr.startswith(("register_", "add_module"))
            and len(node.args) > 1
            and isinstance(node.args[0], ast.Constant)
        ):
            name = str(node.args[0].value)
            yield from self._match(node.args[1], getattr(module, name, None) if _held(module, name) else None, 0)

    def _of_base(self, node: ast.Call, module: torch.nn.Module, base: type, depth: int) -> Iterator[Hint]:
        inner = dict(self._hints(module, base, depth + 1)) if base.__module__.partition(".")[0] != "torch" else {}
        children = list(module._modules.values())
        for name, expression in _bound(node, base):
            live = children if name == "*args" else inner.get(name, _own(module, name))
            if name == "*args" and isinstance(expression, ast.Tuple):
                for item, child in zip(expression.elts, children, strict=False):
                    yield from self._match(item, child, 0)
            else:
                yield from self._match(expression, live, 0)

    def _conditions(self, node: ast.If, module: torch.nn.Module) -> Iterator[Hint]:
        """`if bias: self.bias = …`: whether it is there says what the condition was."""
        if not isinstance(node.test, ast.Name):
            return
        for statement in node.body:
            for target in statement.targets if isinstance(statement, ast.Assign) else []:
                if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
                    yield node.test.id, _held(module, target.attr) and getattr(module, target.attr, None) is not None

    def _match(self, node: ast.expr, live: Any, depth: int) -> Iterator[Hint]:
        """Yields what parameters must have been for an expression to have given a value."""
        if depth > _MOST_DEPTH:
            return
        if isinstance(node, ast.Name):
            yield node.id, live
        elif isinstance(node, ast.BinOp):
            yield from self._undone(node, live, depth)
        elif isinstance(node, ast.BoolOp):
            for value in node.values:
                yield from self._match(value, live, depth + 1)
        elif isinstance(node, ast.IfExp):
            yield from self._choice(node, live, depth)
        elif isinstance(node, ast.Starred):
            yield from self._match(node.value, live, depth + 1)
        elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp):
            yield from self._comprehended(node, live, depth)
        elif isinstance(node, ast.List | ast.Tuple) and _items(live) is not None:
            for item, value in zip(node.elts, _items(live) or (), strict=False):
                yield from self._match(item, value, depth + 1)
        elif isinstance(node, ast.Call):
            yield from self._made(node, live, depth)

    def _undone(self, node: ast.BinOp, live: Any, depth: int) -> Iterator[Hint]:
        """`4 * x`, `x + 1`, `x // 2` and `[x] * n`, solved for x."""
        for expression, other, left in ((node.left, node.right, True), (node.right, node.left, False)):
            number = self._number(other)
            if number is None or not isinstance(live, int | float) or isinstance(live, bool):
                continue
            solved: Any = None
            if isinstance(node.op, ast.Mult) and number:
                solved = (
                    live // number if isinstance(live, int) and isinstance(number, int) and live % number == 0 else live / number
                )
            elif isinstance(node.op, ast.FloorDiv | ast.Div) and left:
                solved = live * number
            elif isinstance(node.op, ast.Add):
                solved = live - number
            elif isinstance(node.op, ast.Sub):
                solved = live + number if left else number - live
            if solved is not None:
                yield from self._match(expression, solved, depth + 1)

    def _number(self, node: ast.expr) -> int | float | None:
        value = node.value if isinstance(node, ast.Constant) else self._known.get(node.id) if isinstance(node, ast.Name) else None
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def _choice(self, node: ast.IfExp, live: Any, depth: int) -> Iterator[Hint]:
        empty = live is None or type(live).__name__ == "Identity"
        if isinstance(node.test, ast.Name):
            yield node.test.id, not empty
        for branch in (node.body, node.orelse):
            yield from self._match(branch, live, depth + 1)

    def _repeated(self, node: ast.ListComp | ast.GeneratorExp, live: Any, depth: int) -> Iterator[Hint]:
        items = _items(live)
        if not items:
            return
        source = node.generators[0].iter
        if (
            isinstance(source, ast.Call)
            and isinstance(source.func, ast.Name)
            and source.func.id == "range"
            and len(source.args) == 1
        ):
            yield from self._match(source.args[0], len(items), depth + 1)
        variables = {
            name.id for generator in node.generators for name in ast.walk(generator.target) if isinstance(name, ast.Name)
        }
        if isinstance(source, ast.Name) and isinstance(node.generators[0].target, ast.Name):
            variable = node.generators[0].target.id
            found = [
                next((value for name, value in self._match(node.elt, item, depth + 1) if name == variable), None)
                for item in items
            ]
            yield source.id, found
        yield from (hint for hint in self._match(node.elt, items[0], depth + 1) if hint[0] not in variables)

    def _comprehended(self, node: ast.ListComp | ast.GeneratorExp | ast.DictComp, live: Any, depth: int) -> Iterator[Hint]:
        if not isinstance(node, ast.DictComp):
            yield from self._repeated(node, live, depth)
        elif isinstance(live, dict):
            yield from self._numbered(node, live)

    def _numbered(self, node: ast.DictComp, live: dict[Any, Any]) -> Iterator[Hint]:
        """`{word: place for place, word in enumerate(words)}`: the words are the keys."""
        source = node.generators[0].iter
        if isinstance(source, ast.Call) and isinstance(source.func, ast.Name) and source.func.id == "enumerate" and source.args:
            source = source.args[0]
        if isinstance(source, ast.Name):
            yield source.id, list(live)

    def _made(self, node: ast.Call, live: Any, depth: int) -> Iterator[Hint]:
        """An argument of a call that made a module is what the module calls it; a class that was called is the module's."""
        import torch

        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if not isinstance(live, torch.nn.Module):
            if name in ("list", "tuple", "int", "float", "bool", "str", "dict", "set", "Size", "deepcopy", "copy") and node.args:
                yield from self._match(node.args[0], live, depth + 1)
            elif isinstance(live, torch.Tensor) and not torch.nn.parameter.is_lazy(live):
                yield from self._sized(node, live, depth)
            return
        if isinstance(node.func, ast.Name):
            yield node.func.id, type(live)
        items = _items(live)
        if items is not None:
            yield from self._contained(node, name, items, depth)
        for parameter, expression in _bound(node, type(live)):
            value = _own(live, parameter)
            if value is None and not _held(live, parameter) and depth < 3:
                value = next((one for hint, one in self._hints(live, None, depth + 1) if hint == parameter), None)
            yield from self._match(expression, value, depth + 1)
        if not isinstance(live, torch.nn.Sequential | torch.nn.ModuleList):
            yield from ((hint, live) for hint in (one.id for one in node.args if isinstance(one, ast.Name)))

    def _sized(self, node: ast.Call, live: torch.Tensor, depth: int) -> Iterator[Hint]:
        """`zeros(a, b)` and what wraps it: the sizes of the tensor."""
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
        if name in ("Parameter", "Buffer", "clone", "detach", "contiguous"):
            inner = node.args[:1] or ([node.func.value] if isinstance(node.func, ast.Attribute) else [])
            for expression in inner:
                yield from self._match(expression, live, depth + 1)
        if name not in _FACTORIES:
            return
        for keyword in node.keywords:
            if keyword.arg == "dtype":
                yield from self._match(keyword.value, live.dtype, depth + 1)
        sizes = node.args[0].elts if len(node.args) == 1 and isinstance(node.args[0], ast.Tuple | ast.List) else node.args
        for expression, size in zip(sizes, live.shape, strict=False):
            yield from self._match(expression, size, depth + 1)

    def _contained(self, node: ast.Call, name: str, items: list[Any], depth: int) -> Iterator[Hint]:
        if name in ("Sequential", "ModuleList") and node.args:
            first = node.args[0]
            inner = first.value if isinstance(first, ast.Starred) else first
            if isinstance(inner, ast.ListComp | ast.GeneratorExp | ast.List | ast.Tuple | ast.Name) and len(node.args) == 1:
                yield from self._match(inner, items, depth + 1)
            for expression, item in zip(node.args, items, strict=False):
                yield from self._match(expression, item, depth + 1)
        elif items:
            for expression in node.args:
                if isinstance(expression, ast.Name):
                    yield from ((expression.id, value) for value in (items[0], len(items), items))


def _init_of(cls: type) -> ast.FunctionDef | None:
    if cls not in _inits:
        _inits[cls] = _parsed(cls)
    return _inits[cls]


def _parsed(cls: type) -> ast.FunctionDef | None:
    text = source_of(cls)
    try:
        body = ast.parse(text).body if text else []
    except (SyntaxError, ValueError, RecursionError):
        return None
    members = body[0].body if body and isinstance(body[0], ast.ClassDef) else []
    init = next((node for node in members if isinstance(node, ast.FunctionDef) and node.name == "__init__"), None)
    return _without_locals(_with_self(init)) if init is not None else None


def _with_self(init: ast.FunctionDef) -> ast.FunctionDef:
    """The constructor with the instance called `self`, whatever its author called it."""
    arguments = [*init.args.posonlyargs, *init.args.args]
    if arguments and arguments[0].arg != "self":
        for node in ast.walk(init):
            if isinstance(node, ast.Name) and node.id == arguments[0].arg:
                node.id = "self"
    return init


def _without_locals(init: ast.FunctionDef) -> ast.FunctionDef:
    """The constructor with local variables that are assigned once replaced by what they were assigned."""
    times = Counter(node.id for node in ast.walk(init) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    arguments = {argument.arg for argument in ast.walk(init.args) if isinstance(argument, ast.arg)}
    known: dict[str, ast.expr] = {}

    class Inlined(ast.NodeTransformer):
        budget = _MOST_INLINED

        def visit_Name(self, node: ast.Name) -> ast.expr:
            if isinstance(node.ctx, ast.Store) or node.id not in known or self.budget < 0:
                return node
            self.budget -= sum(1 for _ in ast.walk(known[node.id]))
            return known[node.id]

    inlined = Inlined()

    def walk(body: list[ast.stmt]) -> None:
        for place, statement in enumerate(body):
            if isinstance(statement, ast.If | ast.With | ast.For):
                walk(statement.body)
                walk(getattr(statement, "orelse", []))
                continue
            body[place] = inlined.visit(statement)
            target = statement.targets[0] if isinstance(statement, ast.Assign) else None
            if isinstance(statement, ast.Assign) and isinstance(target, ast.Name) and times[target.id] == 1:
                known[target.id] = statement.value

    times.update(arguments)  # a parameter that is assigned anew is no local variable
    walk(init.body)
    return init


def _held(module: torch.nn.Module, name: str) -> bool:
    return any(name in held for held in (vars(module), module._modules, module._parameters, module._buffers))


def _bound(node: ast.Call, cls: type) -> Iterator[tuple[str, ast.expr]]:
    """Expressions of a call by the names of the parameters of a class."""
    places = [one for one in parameters_of(cls) if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    star = any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters_of(cls))
    plain = [one for one in node.args if not isinstance(one, ast.Starred)]
    yield from ((parameter.name, expression) for parameter, expression in zip(places, plain, strict=False))
    if star and len(plain) > len(places):
        yield "*args", ast.Tuple(elts=plain[len(places) :], ctx=ast.Load())
    yield from ((keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg)


def _own(live: torch.nn.Module, name: str) -> Any:
    """What a module itself holds of an argument; for a switch whether there is such a tensor."""
    import torch

    for held in (vars(live), live._modules, live._parameters, live._buffers):
        if name in held:
            value = held[name]
            return value is not None if isinstance(value, torch.Tensor) or (held is not vars(live) and value is None) else value
    return None


def _items(live: Any) -> list[Any] | None:
    import torch

    if isinstance(live, list | tuple):
        return list(live)
    if isinstance(live, torch.nn.Sequential | torch.nn.ModuleList):
        return list(live._modules.values())
    return None
