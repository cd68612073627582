"""Tensors that a fresh model has as one and this one has as two, and tensors that this one has in parts and a fresh one has not.

What a fresh model would be is read off the source: assignments between the model's own tensors in the constructor and what it
calls, tables of tied keys as transformers keeps them, and whether any class on the way mentions a parametrization at all.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any

from intact.core.inventory import Grade, Item
from intact.model.expectation import tensor_info
from intact.model.state import memory_of, tensors_of, ties_of
from intact.model.survival.methods import is_of_library, methods_of, names_in, per_class, reached_from, tree_of

if TYPE_CHECKING:
    import torch

_PARAMETRIZING_WORDS = (
    "weight_norm spectral_norm register_parametrization orthogonal parametrize parametrizations parametrization "
    "weight_norm_ prune l1_unstructured random_unstructured ln_structured random_structured custom_from_mask "
    "global_unstructured identity"
)
PARAMETRIZING = frozenset(_PARAMETRIZING_WORDS.split())
"""Names that a class mentions which gives its tensors in parts from the start."""


@dataclass(frozen=True, slots=True)
class Tie:
    """One assignment between the model's own attributes in its construction.

    Attributes:
        target: Attribute path that is assigned.
        giver: Attribute path whose value it gets.
        tests: Names and the truth they must have for it to happen (`config.tie_word_embeddings`).
    """

    target: tuple[str, ...]
    giver: tuple[str, ...]
    tests: tuple[tuple[tuple[str, ...], bool], ...] = ()


@per_class
def ties_its_own(cls: type) -> bool:
    """Whether the objects of a class may tie tensors of their own."""
    return not is_of_library(cls) and bool(_read(cls) or hasattr(cls, "_tied_weights_keys"))


def untied(path: str, module: torch.nn.Module) -> Iterator[Item]:
    """Yields pairs of a module's tensors that its construction makes one and that are two."""
    for target, giver in (*_assigned(module), *_listed(module)):
        one, other = _follow(module, target), _follow(module, giver)
        yield from _compare(path, module, ".".join(target), ".".join(giver), one, other)


def untied_from(model: torch.nn.Module, fresh: torch.nn.Module) -> Iterator[Item]:
    """Yields pairs of a model's tensors that are one in a freshly built model and two in this one."""
    ours, theirs = dict(_tensors(model)), dict(_tensors(fresh))
    for first, *others in ties_of(theirs):
        for key in others:
            yield from _compare("", model, key, first, ours.get(key), ours.get(first))


def _tensors(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)


def _assigned(module: torch.nn.Module) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    for tie in _read(type(module)):
        if all(_truth(module, names) is wanted for names, wanted in tie.tests):
            yield tie.target, tie.giver


def _listed(module: torch.nn.Module) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The table that transformers makes of the keys it ties, by the configuration of this very model."""
    table = module.__dict__.get("all_tied_weights_keys")
    if isinstance(table, Mapping) and len(table) < 10_000:
        for target, giver in table.items():
            if isinstance(target, str) and isinstance(giver, str):
                yield tuple(target.split(".")), tuple(giver.split("."))


@per_class
def _read(cls: type) -> tuple[Tie, ...]:
    return tuple(_ties(cls))


def _ties(cls: type) -> Iterator[Tie]:
    methods = methods_of(cls)
    for name in sorted(reached_from("__init__", methods)):
        for method in methods[name][:1]:
            function = method.function
            tree = tree_of(function) if method.is_bound and _may_tie(function) else None
            if tree is not None and tree.args.args:
                yield from _ties_in(tree.body, tree.args.args[0].arg, ())


def _may_tie(function: FunctionType) -> bool:
    return any(name in names_in(function) for name in ("weight", "bias")) or "tie" in function.__name__


def _ties_in(body: list[ast.stmt], me: str, tests: tuple[tuple[tuple[str, ...], bool], ...]) -> Iterator[Tie]:
    for node in body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, giver = _chain(node.targets[0], me), _chain(node.value, me)
            if len(target) > 1 and giver:
                yield Tie(target, giver, tests)
        elif isinstance(node, ast.If):
            asked = _test(node.test, me)
            yield from _ties_in(node.body, me, (*tests, asked)) if asked else ()
            yield from _ties_in(node.orelse, me, (*tests, (asked[0], not asked[1]))) if asked else ()
        elif isinstance(node, ast.With):
            yield from _ties_in(node.body, me, tests)


def _chain(node: ast.AST, me: str) -> tuple[str, ...]:
    """Returns `("a", "b")` for `self.a.b` and `self.a[0].b` with the index as text; () for anything else."""
    names: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int):
            names.append(str(node.slice.value))
            node = node.value
        else:
            return tuple(reversed(names)) if isinstance(node, ast.Name) and node.id == me else ()


def _test(test: ast.expr, me: str) -> tuple[tuple[str, ...], bool] | None:
    """What a test asks, as a name that can be looked up on the model, and the truth it wants."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _test(test.operand, me)
        return (inner[0], not inner[1]) if inner else None
    if chain := _chain(test, me):
        return chain, True
    names: list[str] = []
    node: ast.AST = test
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ((node.id, *reversed(names)), True) if isinstance(node, ast.Name) else None


def _truth(module: torch.nn.Module, names: tuple[str, ...]) -> bool | None:
    """Whether a name holds on the live model; None where it is not there or no switch."""
    value: Any = module
    for name in names:
        held = getattr(value, "__dict__", {})
        if name not in held:
            return None
        value = held[name]
    return value if isinstance(value, bool) else None


def _follow(module: torch.nn.Module, path: tuple[str, ...]) -> Any:
    """The module or tensor at a path, by what is registered."""
    value: Any = module
    for name in path:
        for held in (getattr(value, "_modules", {}), getattr(value, "_parameters", {}), getattr(value, "_buffers", {})):
            if name in held:
                value = held[name]
                break
        else:
            return None
    return value


def _compare(path: str, module: torch.nn.Module, target: str, giver: str, one: Any, other: Any) -> Iterator[Item]:
    import torch

    if one is None or other is None or one is other or target == giver:
        return
    if isinstance(one, torch.nn.Module) and isinstance(other, torch.nn.Module):
        if type(one) is type(other):
            pairs = dict(other.named_parameters(remove_duplicate=False))
            for name, inner in one.named_parameters(remove_duplicate=False):
                yield from _compare(path, module, f"{target}.{name}", f"{giver}.{name}", inner, pairs.get(name))
        return
    if not (isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)) or memory_of(one) == memory_of(other):
        return
    if one.shape == other.shape and not (one.is_meta or other.is_meta or torch.nn.parameter.is_lazy(one)):
        same = torch.equal(one.detach().cpu(), other.detach().cpu())
        grade: Grade = "doubtful" if same else "lost"
        at, of = (f"{path}.{name}" if path else name for name in (target, giver))
        because = "they still hold equal values" if same else "they hold different values"
        info = tensor_info(at, one)
        yield Item("untied", at, "Parameter", type(module).__name__, (info,), grade, because, target.rpartition(".")[2], of)


def parted(chain: list[torch.nn.Module], path: str, module: torch.nn.Module) -> Iterator[Item]:
    """Yields tensors of a module that are kept in parts, where no class on the way to it says so.

    Args:
        chain: The modules above it, the root first.
        path: Its path.
        module: The module.
    """
    names = _parted_names(module)
    if not names or any(_mentions(type(above)) for above in (*chain, module)):
        return
    written = any(not is_of_library(type(above)) for above in chain)
    for name, parts in names.items():
        at = f"{path}.{name}" if path else name
        infos = tuple(tensor_info(f"{path}.{key}" if path else key, tensor) for key, tensor in parts)
        grade: Grade = "doubtful" if written else "noted"
        yield Item("parametrization", at, type(module).__name__, type(chain[0]).__name__, infos, grade, "", name)


def _parted_names(module: torch.nn.Module) -> dict[str, list[tuple[str, torch.Tensor]]]:
    """The tensors of a module that are computed from others, each with those others by key."""
    found: dict[str, list[tuple[str, torch.Tensor]]] = {}
    inner = module._modules.get("parametrizations")
    if inner is not None and type(inner).__module__.startswith("torch."):
        for name, listed in inner.named_children():
            held = (*listed.named_parameters(), *listed.named_buffers())
            found[name] = [(f"parametrizations.{name}.{key}", tensor) for key, tensor in held]
    for name in hooked_names(module):
        found[name] = [(key, tensor) for key, tensor in tensors_of(module) if key.startswith(f"{name}_")]
    return found


def hooked_names(module: torch.nn.Module) -> set[str]:
    """Names of plain tensors that hooks of torch's own (weight norm, spectral norm, pruning) compute anew before each use."""
    names = set()
    for hook in module._forward_pre_hooks.values():
        if type(hook).__module__.startswith("torch.nn.utils."):
            name = getattr(hook, "name", None) or getattr(hook, "_tensor_name", None)
            if isinstance(name, str):
                names.add(name)
    return names


@per_class
def _mentions(cls: type) -> bool:
    """Whether a class, or a function of its file that it calls, mentions a parametrization, or is handed code to call."""
    return not is_of_library(cls) and any(_says(f) for f in _functions(cls))


def _functions(cls: type) -> Iterator[FunctionType]:
    for listed in methods_of(cls).values():
        yield from (method.function for method in listed)


def _says(function: FunctionType) -> bool:
    names = names_in(function)
    if names & PARAMETRIZING:
        return True
    helpers = (function.__globals__.get(name) for name in names)
    if any(isinstance(helper, FunctionType) and names_in(helper) & PARAMETRIZING for helper in helpers):
        return True
    return function.__name__ == "__init__" and _calls_a_parameter(function)


def _calls_a_parameter(function: FunctionType) -> bool:
    tree = tree_of(function)
    if tree is None:
        return True
    given = {argument.arg for argument in (*tree.args.args[1:], *tree.args.kwonlyargs)}
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
    return any(isinstance(call.func, ast.Name) and call.func.id in given for call in calls)
