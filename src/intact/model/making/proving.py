"""Constructor arguments proved by rebuilding: a second instance is made from their typed form and compared with the first.

The proof runs on what would be written, not on the live values, so that an argument that does not survive its encoding is found
out now. Where something is missing a bounded search tries other values, guided by the number of places that still differ.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from intact.errors import IntactError
from intact.model.making.argument_values import Decoder, Use
from intact.model.making.arguments import Encoder, Uncapturable
from intact.model.making.building import LARGEST_REAL_BYTES, SMALL_BYTES, Place, build
from intact.model.making.plainness import is_settable
from intact.model.making.sameness import (
    Difference,
    Portrait,
    changed_places,
    differences,
    dtype_change,
    dtype_differences,
    portrait_of,
)
from intact.model.making.signatures import call
from intact.model.state import short

if TYPE_CHECKING:
    import torch

MOST_REBUILDINGS = 100
"""For one module; constructors of two missing arguments with eight candidates each need about forty."""

MOST_SECONDS = 3.0
"""For one model with all modules that are arguments of others."""

_MOST_DIFFERENCES = 500
_LARGEST_TABLE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of one rebuilding.

    Attributes:
        score: Places that differ; 0 where the arguments are proved. Infinite where nothing could be built.
        reason: The first difference, or what a constructor raised.
        dtype: What floating-point state has to be cast to afterwards.
        twin: What was rebuilt, where it is the same.
        mild: Whether only plain attributes or values differ, which another place of building may cure.
        settable: Whether only plain attributes differ, which no other place of building cures.
    """

    score: float
    reason: str = ""
    dtype: str = ""
    twin: torch.nn.Module | None = None
    mild: bool = False
    settable: bool = False


@dataclass(slots=True)
class Budget:
    """How much may still be spent on one model."""

    end_s: float = field(default_factory=lambda: time.perf_counter() + MOST_SECONDS)
    rebuildings: int = MOST_REBUILDINGS

    def spend(self) -> bool:
        """Whether there is something left for one more rebuilding."""
        self.rebuildings -= 1
        return self.rebuildings >= 0 and time.perf_counter() < self.end_s


class _AsEncoded:
    """References of the values that were just encoded: a proof on the live process trusts what is live."""

    def __init__(self, references: Mapping[str, Any]) -> None:
        self._references = references

    def resolve(self, reference: str, use: Use) -> Any:
        del use
        return self._references[reference]


class Prover:
    """Rebuilds one module.

    Args:
        module: The instance to compare with.
        live: Its portrait.
    """

    def __init__(self, module: torch.nn.Module, live: Portrait) -> None:
        self._cls = type(module)
        self._modules = dict(module.named_modules())
        self._live = live
        self._places = _places(module, live)

    def prove(self, encoder: Encoder, arguments: Mapping[str, Any]) -> Proof:
        """Returns what comes of calling the class with typed arguments."""
        best: Proof | None = None
        for place, small_bytes in self._places:
            proof = self._at(encoder, arguments, place, small_bytes)
            if proof.score == 0:
                return proof
            best = proof if best is None or proof.score < best.score else best
            if proof.score != float("inf") and (not proof.mild or proof.settable):
                break
        assert best is not None, "there is always a place to build on"
        return best

    def built(self, encoder: Encoder, arguments: Mapping[str, Any]) -> Iterator[torch.nn.Module]:
        """Yields what the class makes of typed arguments, at each place where it can be built."""
        for place, small_bytes in self._places:
            with suppress(Exception):  # the user's constructor may raise anything; the next place is another chance
                yield self._made(encoder, arguments, place, small_bytes)

    def compared(self, twin: torch.nn.Module) -> Proof:
        """Returns what comes of comparing a rebuilt instance."""
        return self._compare(twin, portrait_of(twin))

    def _made(self, encoder: Encoder, arguments: Mapping[str, Any], place: Place, small_bytes: int) -> torch.nn.Module:
        def make() -> torch.nn.Module:
            decoder = Decoder(_AsEncoded(encoder.references), lambda _: _device(place))
            made: torch.nn.Module = call(self._cls, {name: decoder.decode(value) for name, value in arguments.items()})
            return made

        return build(make, place, small_bytes)

    def _at(self, encoder: Encoder, arguments: Mapping[str, Any], place: Place, small_bytes: int) -> Proof:
        try:
            return self.compared(self._made(encoder, arguments, place, small_bytes))
        except Exception as error:  # noqa: BLE001 - the user's constructor may raise anything
            text = error.message if isinstance(error, IntactError) else str(error)
            return Proof(float("inf"), f"rebuilding it raises {type(error).__name__}: {short(text, 160)}")

    def _compare(self, twin: torch.nn.Module, built: Portrait) -> Proof:
        found: list[Difference] = list(itertools.islice(differences(self._live, built), _MOST_DIFFERENCES))
        dtype = dtype_change(self._live, built)
        if dtype is None:
            found += itertools.islice(dtype_differences(self._live, built), _MOST_DIFFERENCES)
        mild = not any(difference.structural for difference in found)
        settable = bool(found) and mild and all(map(self._is_settable, changed_places(self._live, built)))
        return Proof(len(found), str(found[0]) if found else "", dtype or "", None if found else twin, mild, settable)

    def _is_settable(self, place: tuple[str, str]) -> bool:
        path, name = place
        attributes = vars(self._modules[path]) if path in self._modules else {}
        return name in attributes and is_settable(name, attributes[name])


def encoded(encoder: Encoder, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns typed arguments by name.

    Raises:
        Uncapturable: One of them has no such form; it is named.
    """
    return {name: _encoded(encoder, name, value) for name, value in values.items()}


def _encoded(encoder: Encoder, name: str, value: Any) -> Any:
    try:
        return encoder.encode(value)
    except Uncapturable as error:
        raise Uncapturable(f"argument `{name}`: {error}") from None


def search(options: Mapping[str, Sequence[Any]], attempt: Any, budget: Budget) -> tuple[dict[str, Any], Proof]:
    """Returns the best values found and their proof.

    Args:
        options: Candidates by parameter, the best guess first; each has at least one.
        attempt: Values by name to `Proof`.
        budget: What may be spent.
    """
    current = {name: values[0] for name, values in options.items()}
    best: Proof = attempt(current)
    current, best = _follow_errors(options, attempt, budget, current, best)
    improved = True
    while best.score and improved:
        improved = False
        for name, value in _neighbours(options, current):
            if not budget.spend():
                return current, best
            proof = attempt({**current, name: value})
            if proof.score < best.score:
                current, best, improved = {**current, name: value}, proof, True
                break
    if best.score == float("inf"):
        return _all_combinations(options, attempt, budget, current, best)
    return current, best


def _follow_errors(
    options: Mapping[str, Sequence[Any]], attempt: Any, budget: Budget, current: dict[str, Any], best: Proof
) -> tuple[dict[str, Any], Proof]:
    """While a constructor refuses and names an argument, other values of that argument are tried, the last resort first."""
    for _ in range(len(options)):
        words = set(re.findall(r"\w+", best.reason))
        named = [name for name in options if name in words and len(options[name]) > 1] if best.score == float("inf") else []
        step = next(_changed(options, attempt, budget, current, best, named), None)
        if step is None:
            return current, best
        current, best = step
    return current, best


def _changed(
    options: Mapping[str, Sequence[Any]], attempt: Any, budget: Budget, current: dict[str, Any], best: Proof, named: list[str]
) -> Iterator[tuple[dict[str, Any], Proof]]:
    for name in named:
        for value in [options[name][-1], *options[name][1:4]]:
            if value is current[name] or not budget.spend():
                continue
            proof = attempt({**current, name: value})
            if proof.score < best.score or proof.reason != best.reason:
                yield {**current, name: value}, proof


def _neighbours(options: Mapping[str, Sequence[Any]], current: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """One value changed, the likelier candidates of every parameter before the unlikelier ones of any."""
    longest = max((len(values) for values in options.values()), default=0)
    for rank in range(longest):
        for name, values in options.items():
            if rank < len(values) and values[rank] is not current[name]:
                yield name, values[rank]


def _all_combinations(
    options: Mapping[str, Sequence[Any]], attempt: Any, budget: Budget, current: dict[str, Any], best: Proof
) -> tuple[dict[str, Any], Proof]:
    """Where nothing can be built by changing one value, several are changed at once."""
    for values in itertools.product(*(values[:4] for values in options.values())):
        if not budget.spend():
            break
        tried = dict(zip(options, values, strict=True))
        proof = attempt(tried)
        if proof.score != float("inf"):
            return search({name: [tried[name], *options[name]] for name in options}, attempt, budget)
    return current, best


def _places(module: torch.nn.Module, live: Portrait) -> list[tuple[Place, int]]:
    """Where to build, cheapest first; values that no state dict holds can only be compared where they are real."""
    import torch

    sizes = [_bytes(tensor) for tensor in live.unsaved.values() if not tensor.is_meta and not torch.nn.parameter.is_lazy(tensor)]
    tables = [size for size in sizes if size <= _LARGEST_TABLE_BYTES]
    small = max([SMALL_BYTES, *tables])
    whole = sum(
        _bytes(tensor)
        for tensor in itertools.chain(module.parameters(), module.buffers())
        if not torch.nn.parameter.is_lazy(tensor)
    )
    places: list[tuple[Place, int]] = [] if sizes else [("meta", 0)]
    places.append(("small", small))
    return [*places, ("cpu", 0)] if whole <= LARGEST_REAL_BYTES else places


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _device(place: Place) -> torch.device:
    import torch

    return torch.device("meta" if place == "meta" else "cpu")
