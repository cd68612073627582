"""How a module was made: its class and arguments, from the recorded call or from the instance, proved or with the gap named.

Modules that are arguments of others are asked the same question. What was found for a leaf is used again for every leaf that is
like it, so that a hundred equal layers cost one proof.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from intact.core.architecture import How
from intact.model.making.arguments import Call, Encoder, Uncapturable
from intact.model.making.candidates import Candidates, container_values
from intact.model.making.proving import MOST_REBUILDINGS, Budget, Proof, Prover, encoded, search
from intact.model.making.recording import recorded_call
from intact.model.making.sameness import Portrait, portrait_of
from intact.model.making.signatures import looked_for, parameters_of, required
from intact.model.making.tokens import hashable

if TYPE_CHECKING:
    import torch

_LEFT_OUT = object()
_chosen: WeakKeyDictionary[Any, dict[str, int]] = WeakKeyDictionary()
"""Places of the chosen candidates by module, so that saving a model that changes between saves does not search each time."""


@dataclass(frozen=True, slots=True)
class Construction:
    """What is known of one module's making.

    Attributes:
        call: Class and values; None where a required argument is missing.
        how: Where the values are from.
        proof: What came of rebuilding.
        uncaptured: Name and reason of arguments without a value.
    """

    call: Call | None
    how: How
    proof: Proof
    uncaptured: tuple[tuple[str, str], ...] = ()


class Constructions:
    """The makings of all modules of one model that had to be asked for."""

    def __init__(self) -> None:
        self.budget = Budget()
        self._known: dict[int, Construction] = {}
        self._leaves: dict[Any, Construction] = {}
        self._kept: list[torch.nn.Module] = []
        self._open: set[int] = set()

    def encoder(self) -> Encoder:
        """Returns an encoder that knows how modules are made that are arguments."""
        return Encoder(self.call_of)

    def call_of(self, module: torch.nn.Module) -> Call:
        """Returns how a module that is an argument was made.

        Raises:
            Uncapturable: Its arguments were not found, or do not give the same module again.
        """
        found = self.of(module)
        name = type(module).__name__
        if found.call is None:
            missing = ", ".join(f"`{argument}` ({reason})" for argument, reason in found.uncaptured)
            raise Uncapturable(f"it is a {name}, whose own arguments are not known: {missing or found.proof.reason}")
        if found.proof.score:
            raise Uncapturable(f"it is a {name} that cannot be rebuilt: {found.proof.reason}")
        return found.call

    def of(self, module: torch.nn.Module, live: Portrait | None = None) -> Construction:
        """Returns how a module was made."""
        if id(module) in self._known:
            return self._known[id(module)]
        if id(module) in self._open:
            raise Uncapturable("it contains itself")
        self._kept.append(module)
        self._open.add(id(module))
        live = live or portrait_of(module)
        key = (type(module), live.key()) if not module._modules and recorded_call(module) is None else None
        key = key if hashable(key) else None
        found = self._leaves.get(key) if key is not None else None
        if found is None:
            found = self._found(module, live)
            if key is not None and not _holds_modules(found):
                self._leaves[key] = found
        self._open.discard(id(module))
        self._known[id(module)] = found
        return found

    def _found(self, module: torch.nn.Module, live: Portrait) -> Construction:
        prover = Prover(module, live)
        kept = recorded_call(module)
        values = dict(kept.values) if kept is not None else container_values(module)
        if values is not None:
            return self._from_call(module, prover, values, "recorded" if kept is not None else "reconstructed")
        return self._searched(module, prover, {}, "reconstructed", {})

    def _from_call(self, module: torch.nn.Module, prover: Prover, values: dict[str, Any], how: How) -> Construction:
        """From a call that is known; only arguments that have no typed form are looked for on the instance."""
        reasons = {name: reason for name, value in values.items() if (reason := self._refusal(value))}
        fixed = {name: value for name, value in values.items() if name not in reasons}
        if reasons:
            return self._searched(module, prover, fixed, how, reasons)
        proof = self._attempt(prover, fixed)
        return Construction(Call(type(module), fixed, proof.dtype), how, proof)

    def _searched(
        self, module: torch.nn.Module, prover: Prover, fixed: dict[str, Any], how: How, reasons: dict[str, str]
    ) -> Construction:
        candidates = Candidates(module)
        options, missing = self._options(module, candidates, fixed, reasons)
        if missing:
            reason = "; ".join(f"argument `{name}`: {text}" for name, text in missing)
            return Construction(None, "none", Proof(float("inf"), reason), missing)
        values, proof = self._best(module, options, lambda tried: self._attempt(prover, _given({**fixed, **tried})))
        found = _given({**fixed, **values})
        names = [*[parameter.name for parameter in looked_for(type(module))], *fixed]
        ordered = {name: found[name] for name in dict.fromkeys(names) if name in found}
        guessed = self._guessed(module, candidates, fixed, reasons, proof) if proof.score and not proof.mild else {}
        if proof.score == float("inf") or guessed:
            named = ", ".join(f"`{name}`" for name in guessed) or "its arguments"
            failed = replace(proof, reason=f"no value of {named} was found with which the same model is built: {proof.reason}")
            kept = {name: value for name, value in ordered.items() if name not in guessed}
            call = None if proof.score == float("inf") or kept.keys() != ordered.keys() else Call(type(module), kept)
            return Construction(call, "none", failed, tuple(guessed.items()))
        if how == "reconstructed" and _is_configured(module, ordered):
            how = "config"
        return Construction(Call(type(module), ordered, proof.dtype), how, proof, tuple(reasons.items()) if proof.score else ())

    def _guessed(
        self,
        module: torch.nn.Module,
        candidates: Candidates,
        fixed: Mapping[str, Any],
        reasons: Mapping[str, str],
        proof: Proof,
    ) -> dict[str, str]:
        """Arguments of which nothing is known, and why: what a failed search is to be explained with."""
        found = dict(reasons)
        for parameter in looked_for(type(module)):
            known = parameter.name in fixed or candidates.evident(parameter, by_text=proof.score != float("inf"))
            if required(parameter) and not known:
                found.setdefault(parameter.name, "no attribute, configuration or source says what it was")
        return found

    def _best(
        self, module: torch.nn.Module, options: dict[str, list[Any]], attempt: Callable[[dict[str, Any]], Proof]
    ) -> tuple[dict[str, Any], Proof]:
        """The best of the candidates; an instance is searched once, later only what was chosen then is proved again."""
        ranks = _chosen.get(module, {})
        if ranks.keys() == options.keys() and all(ranks[name] < len(options[name]) for name in ranks):
            values = {name: options[name][rank] for name, rank in ranks.items()}
            return values, attempt(values)
        self.budget.rebuildings = MOST_REBUILDINGS
        values, proof = search(options, attempt, self.budget)
        _chosen[module] = {name: next(n for n, one in enumerate(options[name]) if one is value) for name, value in values.items()}
        return values, proof

    def _options(
        self, module: torch.nn.Module, candidates: Candidates, fixed: Mapping[str, Any], reasons: Mapping[str, str]
    ) -> tuple[dict[str, list[Any]], tuple[tuple[str, str], ...]]:
        """Candidates that have a typed form, by parameter, and the required parameters that have none."""
        options, missing = {}, []
        own = {parameter.name for parameter in parameters_of(type(module))}
        for parameter in looked_for(type(module)) if not fixed else parameters_of(type(module)):
            if parameter.name in fixed:
                continue
            usable, refused = self._encodable(candidates.of(parameter))
            if parameter.name not in own:
                usable = [*usable, _LEFT_OUT]  # the class may pass it to its base itself
            if usable:
                options[parameter.name] = usable
            elif required(parameter):
                text = reasons.get(parameter.name) or refused or "no attribute, configuration or source says what it was"
                missing.append((parameter.name, text))
        return options, tuple(missing)

    def _encodable(self, values: list[Any]) -> tuple[list[Any], str]:
        """The candidates from the first on that has a typed form; later ones are only encoded if they are tried."""
        refused = ""
        for place, value in enumerate(values):
            reason = self._refusal(value)
            if not reason:
                return values[place:], refused
            refused = refused or reason
        return [], refused

    def _refusal(self, value: Any) -> str:
        """Why a value has no typed form; "" where it has."""
        try:
            self.encoder().encode(value)
        except Uncapturable as error:
            return str(error)
        return ""

    def _attempt(self, prover: Prover, values: Mapping[str, Any]) -> Proof:
        encoder = self.encoder()
        try:
            return prover.prove(encoder, encoded(encoder, values))
        except Uncapturable as error:
            return Proof(float("inf"), str(error))


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not _LEFT_OUT}


def _holds_modules(found: Construction) -> bool:
    values = found.call.values.values() if found.call is not None else ()
    return any(hasattr(value, "_modules") or isinstance(value, list | tuple | dict) for value in values)


def _is_configured(module: torch.nn.Module, values: Mapping[str, Any]) -> bool:
    """Whether a configuration object is among the arguments, as the instance holds it."""
    held = [value for value in vars(module).values() if hasattr(value, "__dict__") and not isinstance(value, type)]
    first: Any = next(iter(values.values()), inspect.Parameter.empty)
    return any(value is first for value in held) and not callable(first)
