"""The architecture of a live model, captured at saving time.

The constructor's arguments are taken from the recorded call, else found and proved by building a twin; what could not be captured
is named. A training loop saves the same model again and again, so the result is kept by the model's portrait: only a change of
structure or attributes asks the question anew.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from intact.core.architecture import Architecture, Constructor, ParameterRecord
from intact.core.collecting import collector_paused
from intact.model.making.arguments import Encoder, Uncapturable
from intact.model.making.construction import Construction, Constructions
from intact.model.making.module_tree import tree_of
from intact.model.making.proving import Prover, encoded
from intact.model.making.recording import recorded_call
from intact.model.making.references import class_name_of
from intact.model.making.sameness import Key, Portrait, portrait_of
from intact.model.making.settings import Setting, settled
from intact.model.making.signatures import parameters_of, record_of
from intact.model.making.tokens import Tokens, hashable, shape_token
from intact.model.making.twins import on_meta
from intact.model.making.wrappers import INNER, inner_of
from intact.model.state import short

if TYPE_CHECKING:
    import torch

_MOST_KEPT = 8
"""Results kept; a process rarely saves more than a model, its average and a discriminator."""

_kept: OrderedDict[Any, Captured] = OrderedDict()
_lock = Lock()


@dataclass(frozen=True, slots=True)
class Captured:
    """What was captured of one model.

    Attributes:
        architecture: The record.
        twin: A model rebuilt from the record on the meta device, equal in structure; None where it could not be proved.
        twin_reason: Why there is none.
    """

    architecture: Architecture
    twin: torch.nn.Module | None = None
    twin_reason: str = ""


def capture(model: torch.nn.Module, *, include_source: bool = False) -> Captured:
    """Returns the architecture of a model, which is not changed.

    The constructors of the model's class may be called again, on the meta device or with small tensors.

    Args:
        model: Any module; of a wrapper the inner module is captured.
        include_source: Whether the text of the classes goes into the record.
    """
    try:
        with collector_paused():
            return _kept_or_captured(model, include_source)
    except Exception as error:  # noqa: BLE001 - the user's objects may answer anything; a save does not fail for that
        reason = f"looking at it raises {type(error).__name__}: {short(str(error), 160)}"
        constructor = Constructor(signature=_signature(type(model)), reason=reason)
        return Captured(_architecture(model, constructor, include_source), None, reason)


def _kept_or_captured(model: torch.nn.Module, include_source: bool) -> Captured:
    import torch

    live = portrait_of(model)
    call = recorded_call(model)
    call_token = Tokens({}, shape_token).of(call.values) if call is not None else None
    key = Key((type(model), live.key(), call_token, include_source, torch.get_default_dtype()))
    if not hashable(key):
        return _captured(model, live, include_source)
    with _lock:
        found = _kept.get(key)
        if found is not None:
            _kept.move_to_end(key)
            return found
    found = _captured(model, live, include_source)
    with _lock:
        _kept[key] = found
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    return found


def _captured(model: torch.nn.Module, live: Any, include_source: bool) -> Captured:
    constructions = Constructions()
    inner = inner_of(model)
    construction = constructions.of(model, live) if inner is None else constructions.of(inner)
    settings: tuple[Setting, ...] = ()
    if inner is None and construction.proof.mild and construction.call is not None:
        construction, settings = _settled(model, live, construction, constructions.encoder())
    constructor = replace(
        _constructor(model, construction, constructions.encoder(), wrapper=inner is not None), settings=settings
    )
    twin = on_meta(construction.proof.twin, construction.proof.dtype) if inner is None else None
    reason = constructor.reason
    if inner is not None:
        reason = f"the model is wrapped in {type(model).__name__}; the proof is of the module inside"
    elif twin is None and constructor.proved:
        reason = "the rebuilt model could not be moved to the meta device"
    return Captured(_architecture(model, constructor, include_source), twin, reason)


def _settled(
    model: torch.nn.Module, live: Portrait, found: Construction, encoder: Encoder
) -> tuple[Construction, tuple[Setting, ...]]:
    """The construction with attributes that were set afterwards, where these are all that differs."""
    assert found.call is not None
    try:
        arguments = encoded(encoder, found.call.values)
    except Uncapturable:
        return found, ()
    settled_with = settled(model, live, Prover(model, live), encoder, arguments)
    if settled_with is None:
        return found, ()
    settings, proof = settled_with
    how = "reconstructed" if found.how == "none" else found.how
    return replace(found, how=how, proof=proof, uncaptured=()), settings


def _architecture(model: torch.nn.Module, constructor: Constructor, include_source: bool) -> Architecture:
    tree = tree_of(model, _signature, include_source=include_source)
    return Architecture(
        class_name_of(type(model)), constructor, tree.modules, tree.variants, tree.tables, tree.classes, tree.sources
    )


def _constructor(model: torch.nn.Module, found: Construction, encoder: Encoder, *, wrapper: bool) -> Constructor:
    import torch

    if found.call is None:
        return Constructor("none", {}, _signature(type(model)), found.uncaptured, False, found.proof.reason)
    if wrapper and found.proof.score:
        return Constructor("none", {}, _signature(type(model)), ((INNER, found.proof.reason),), False, found.proof.reason)
    values = {INNER: inner_of(model)} if wrapper else found.call.values
    return Constructor(
        found.how,
        encoded(encoder, values),
        _signature(type(model)),
        found.uncaptured,
        not found.proof.score,
        found.proof.reason,
        "" if wrapper else found.proof.dtype,
        str(torch.get_default_dtype()).removeprefix("torch."),
    )


def _signature(cls: type) -> tuple[ParameterRecord, ...]:
    return tuple(record_of(parameter, _default(parameter.default)) for parameter in parameters_of(cls))


def _default(value: Any) -> Any:
    try:
        return Encoder().encode(value)
    except Uncapturable:
        return None
