"""What single expressions of a method say: which attribute of `self` they lead to, what a test asks, which calls are random.

All of it is read off the syntax. Names are those of torch, numpy and Python's `random`; what is not known here counts as nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

from intact.model.survival.effect import Env
from intact.model.survival.methods import Definition, names_in, tree_of

PURE = frozenset({"torch", "numpy", "math", "builtins", "functools", "itertools", "collections", "copy", "einops", "operator"})
"""Libraries whose functions are known by name."""

_RANDOM_CALLS_WORDS = (
    "rand randn randint randperm rand_like randn_like randint_like bernoulli bernoulli_ multinomial normal_ uniform_ "
    "random_ exponential_ cauchy_ log_normal_ geometric_ trunc_normal_ kaiming_uniform_ kaiming_normal_ xavier_uniform_ "
    "xavier_normal_ orthogonal_ sparse_ permutation permuted shuffle rsample standard_normal random_sample getrandbits "
    "token_bytes"
)
RANDOM_CALLS = frozenset(_RANDOM_CALLS_WORDS.split())
"""Names that mean randomness wherever they stand."""

_RANDOM_MEMBERS_WORDS = "normal uniform poisson sample choice choices random integers randrange gauss betavariate"
RANDOM_MEMBERS = frozenset(_RANDOM_MEMBERS_WORDS.split())
"""Names that mean randomness as members of something random: a module or generator so called, a distribution."""

_RANDOM_OWNERS_WORDS = "random np_random rng generator gen rs prng distribution dist"
RANDOM_OWNERS = frozenset(_RANDOM_OWNERS_WORDS.split())

RANDOM_NAMES = RANDOM_CALLS | RANDOM_MEMBERS | {"default_rng", "RandomState", "Random"}
"""Names one of which a function mentions that draws random numbers."""

_SEEDS_WORDS = "manual_seed seed seed_everything set_seed"
SEEDS = frozenset(_SEEDS_WORDS.split())
"""Calls that make what follows the same each time."""

_SHAPES_WORDS = "shape ndim device dtype layout is_cuda requires_grad training itemsize size dim numel get_device"
SHAPES = frozenset(_SHAPES_WORDS.split())
_LIKE_WORDS = (
    "zeros_like ones_like empty_like full_like new_zeros new_ones new_empty len isinstance hasattr type id new_full "
    "is_available is_grad_enabled is_autocast_enabled get_autocast_dtype is_floating_point"
)
LIKE = frozenset(_LIKE_WORDS.split())
"""Attributes and calls whose result holds no values of the tensor they are asked of."""

VALUE_OF_RECEIVER = frozenset({"to", "type_as", "expand_as", "view_as", "reshape_as", "register_buffer", "register_parameter"})
"""Methods whose arguments give no values to the result."""

_ACCUMULATING_WORDS = (
    "mul_ add_ sub_ div_ lerp_ addcmul_ addcdiv_ addmm_ addmv_ baddbmm_ index_add_ scatter_add_ logical_or_ bitwise_or_ "
    "maximum_ minimum_ __iadd__ __imul__"
)
ACCUMULATING = frozenset(_ACCUMULATING_WORDS.split())
"""Methods in place that make the new value out of the old one."""

_REDUCTIONS_WORDS = "mean var std sum var_mean std_mean amax amin max min median quantile bincount norm cov histc"
REDUCTIONS = frozenset(_REDUCTIONS_WORDS.split())
_PASSING_WORDS = "data detach view flatten unsqueeze squeeze reshape float double half long T mT grad weight bias"
_PASSING = frozenset(_PASSING_WORDS.split())


def is_random(call: ast.Call) -> bool:
    """Whether a call gives other values each time; one with a generator of its own does not count."""
    if any(keyword.arg == "generator" and not is_none(keyword.value) for keyword in call.keywords):
        return False
    name, owner = call_name(call), owner_name(call)
    if name in RANDOM_CALLS or (name in RANDOM_MEMBERS and owner.lower() in RANDOM_OWNERS):
        return True
    if name in ("default_rng", "RandomState", "Random"):
        return not call.args
    return name in ("normal", "sample") and owner not in ("", "self")


def is_seeded(tree: ast.AST) -> bool:
    """Whether a function seeds the generators that everybody shares; a generator of its own counts for itself only."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and call_name(node) in SEEDS)
    return any(
        call.args and (isinstance(call.func, ast.Name) or owner_name(call) in ("torch", "random", "cuda")) for call in calls
    )


def call_name(call: ast.Call) -> str:
    """Returns the last name of what is called; "" where it has none."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""


def owner_name(call: ast.Call) -> str:
    """Returns the name before the last one: `random` of `np.random.choice`."""
    value = call.func.value if isinstance(call.func, ast.Attribute) else None
    return value.attr if isinstance(value, ast.Attribute) else value.id if isinstance(value, ast.Name) else ""


def resolved(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """Returns what a dotted name means among the globals of a function; None where it is no name of a module's."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = resolved(node.value, names)
        return vars(owner).get(node.attr) if isinstance(owner, ModuleType) else None
    return None


def is_none(node: ast.expr) -> bool:
    """Whether an expression is the word None."""
    return isinstance(node, ast.Constant) and node.value is None


def attribute_of_self(node: ast.AST, me: str) -> str:
    """Returns `x` for `self.x`; "" for anything else."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == me:
        return node.attr
    return ""


def root_of(node: ast.AST, me: str) -> str:
    """Returns `x` for what is the memory of `self.x`: a view of it, a part of it, what a method in place gives back."""
    while not (name := attribute_of_self(node, me)):
        if isinstance(node, ast.Subscript) or (isinstance(node, ast.Attribute) and node.attr in _PASSING):
            node = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _gives_back(node.func.attr):
            node = node.func.value
        else:
            return ""
    return name


def _gives_back(method: str) -> bool:
    return method in _PASSING or (method.endswith("_") and not method.endswith("__"))


def asked(test: ast.expr, me: str) -> tuple[frozenset[str], frozenset[str]]:
    """Returns the attributes that are not there yet, or not true, where a test holds, and those where it does not hold."""
    if isinstance(test, ast.BoolOp):
        parts = [asked(part, me) for part in test.values]
        holds = frozenset[str]().union(*(a for a, _ in parts)) if isinstance(test.op, ast.And) else frozenset[str]()
        fails = frozenset[str]().union(*(b for _, b in parts)) if isinstance(test.op, ast.Or) else frozenset[str]()
        return holds, fails
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        holds, fails = asked(test.operand, me)
        return fails, holds
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _compared(test, me)
    name = _truth_of(test, me)
    return (frozenset(), frozenset({name})) if name else (frozenset(), frozenset())


def flags_in(test: ast.expr, me: str) -> frozenset[str]:
    """Returns attributes whose plain truth a test asks for: `if self.first_time:`."""
    parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
    return frozenset(name for part in parts if (name := attribute_of_self(part, me)) and name != "training")


def _compared(test: ast.Compare, me: str) -> tuple[frozenset[str], frozenset[str]]:
    left, right, operator = test.left, test.comparators[0], test.ops[0]
    if isinstance(operator, ast.In | ast.NotIn):
        within = attribute_of_self(right, me) in ("_buffers", "_parameters", "__dict__") or _is_vars(right, me)
        named = isinstance(left, ast.Constant) and isinstance(left.value, str) and within
        name = str(left.value) if named and isinstance(left, ast.Constant) else ""
    else:
        empty = isinstance(right, ast.Constant) and right.value in (None, 0, False)
        name = _truth_of(left, me) if empty else ""
    found = frozenset({name}) if name else frozenset[str]()
    if isinstance(operator, ast.Is | ast.Eq | ast.NotIn):
        return found, frozenset()
    return (frozenset(), found) if isinstance(operator, ast.IsNot | ast.NotEq | ast.In | ast.Gt) else (frozenset(), frozenset())


def _is_vars(node: ast.expr, me: str) -> bool:
    return (
        isinstance(node, ast.Call) and call_name(node) in ("vars", "dir") and any(is_name(argument, me) for argument in node.args)
    )


def is_name(node: ast.expr, me: str) -> bool:
    """Whether an expression is just one name."""
    return isinstance(node, ast.Name) and node.id == me


def _truth_of(node: ast.expr, me: str) -> str:
    """The attribute whose truth, presence, length or only value an expression is."""
    while not (name := attribute_of_self(node, me)):
        if not isinstance(node, ast.Call):
            return ""
        if call_name(node) in ("hasattr", "getattr") and len(node.args) > 1 and is_name(node.args[0], me):
            return str(node.args[1].value) if isinstance(node.args[1], ast.Constant) else ""
        if isinstance(node.func, ast.Attribute) and not node.args and not is_name(node.func.value, me):
            node = node.func.value  # `.item()`, `.numel()`, `.any()`
        elif isinstance(node.func, ast.Name) and len(node.args) == 1:
            node = node.args[0]  # `bool(…)`, `len(…)`
        elif isinstance(node.func, ast.Attribute) and len(node.args) == 1 and isinstance(node.func.value, ast.Name):
            node = node.args[0]  # `torch.any(…)`
        else:
            return ""
    return "" if name == "training" else name


def draws(function: FunctionType, depth: int) -> bool:
    """Whether a function, or one that it mentions, draws random numbers without a seed."""
    if function.__module__.partition(".")[0] in PURE or depth > 2:
        return False
    names = names_in(function)
    tree = tree_of(function) if names & RANDOM_NAMES else None
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)] if tree is not None else []
    if tree is not None and not is_seeded(tree) and any(map(is_random, calls)):
        return True
    inner = (function.__globals__.get(name) for name in names)
    return any(draws(found, depth + 1) for found in inner if isinstance(found, FunctionType) and found is not function)


def parameters_of(tree: Definition, marks: int, call: Env | None) -> Env:
    """The marks of a method's parameters: those of the call, or `marks` for each that may be a tensor."""
    listed = [*tree.args.posonlyargs, *tree.args.args][1:]
    optional = dict(zip(reversed([a.arg for a in listed]), reversed(tree.args.defaults), strict=False))
    optional.update((a.arg, d) for a, d in zip(tree.args.kwonlyargs, tree.args.kw_defaults, strict=True) if d is not None)
    every = [*listed, *tree.args.kwonlyargs, *(a for a in (tree.args.vararg, tree.args.kwarg) if a is not None)]
    if call is not None:
        return {argument.arg: call.get(argument.arg, 0) for argument in every}
    return {argument.arg: 0 if _is_plain(argument, optional.get(argument.arg)) else marks for argument in every}


def _is_plain(argument: ast.arg, default: ast.expr | None) -> bool:
    """Whether a parameter is a number, a text or a switch by its annotation or its default."""
    annotation = argument.annotation
    if isinstance(annotation, ast.Name) and annotation.id in ("int", "bool", "float", "str"):
        return True
    return isinstance(default, ast.Constant) and default.value is not None


def is_running(value: ast.AST, name: str, me: str) -> bool:
    """Whether a value is made from the attribute's old one as a running statistic is.

    That is arithmetic with a reduction of the data, or a mean of old and new whose two weights add up to one.
    """
    nodes = list(ast.walk(value))
    if not any(attribute_of_self(node, me) == name for node in nodes):
        return False
    calls = {call_name(node) for node in nodes if isinstance(node, ast.Call)}
    arithmetic = any(isinstance(node, ast.BinOp) for node in nodes)
    return "lerp" in calls or (arithmetic and (bool(calls & REDUCTIONS) or _is_weighted_mean(nodes)))


def _is_weighted_mean(nodes: list[ast.AST]) -> bool:
    rest = (node.left for node in nodes if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub))
    if any(isinstance(left, ast.Constant) and left.value == 1 for left in rest):
        return True
    weights = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, float)]
    return any(abs(one + other - 1) < 1e-9 for one in weights for other in weights if one != other)


def bound_names(target: ast.AST) -> Iterator[str]:
    """Yields the local names that an assignment binds."""
    yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
