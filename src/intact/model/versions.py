"""Whether it matters which version of its classes wrote a checkpoint, tried on copies of the model without memory.

A class that once stored its tensors otherwise says so by `_version`, and its loading code changes what older versions wrote.
The number stands in the `_metadata` of a state dict, which is lost where the state dict is copied into a plain mapping, or
written by a format that has no place for it. Torch then takes the file for one of the oldest version.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from intact.core.description import Description
from intact.core.rule import ByVersion
from intact.model.migration import MOST_KEYS, Trial, sources_of, tried
from intact.model.state import modules_of, random_state_kept

if TYPE_CHECKING:
    import torch


def by_version(model: torch.nn.Module, found: Description) -> ByVersion | None:
    """Returns what the versions that a file records, or does not, change about a load; None where they change nothing.

    Args:
        model: It is not changed.
        found: What would be loaded: keys of the model, and the versions recorded by module.
    """
    current = {path: module._version for path, module in modules_of(model) if type(module._version) is int}
    asked = {path: number for path, number in _asking(model).items() if found.metadata.get(path) != number}
    if not asked or len(found.tensors) > MOST_KEYS:
        return None
    with random_state_kept():
        try:
            as_found, as_current = tried(model, found), tried(model, replace(found, metadata=current))
            before, after = sources_of(as_found), sources_of(as_current)
        except Exception:  # noqa: BLE001 - the user's code may raise anything; then nothing is known
            return None
    if _complaint(as_current) or "meta" in (as_found.error or "").lower():
        return None  # it does not load in either way, or its code needs values, of which the copy has none
    changed = tuple(key for key, source in after.items() if source is not None and before.get(key) != source)
    complaint = _complaint(as_found)
    if not complaint and not changed:
        return None
    recorded = {path: found.metadata.get(path) for path in asked}
    classes = {path: type(module).__name__ for path, module in modules_of(model) if path in asked}
    return ByVersion(complaint, () if complaint else changed, current, recorded, classes)


def _asking(model: torch.nn.Module) -> dict[str, int]:
    """Versions of the modules that bring loading code of their own, by path."""
    import torch

    plain = torch.nn.Module._load_from_state_dict
    return {
        path: module._version
        for path, module in modules_of(model)
        if type(module._version) is int
        and (
            module._load_state_dict_pre_hooks
            or (type(module)._load_from_state_dict is not plain and not type(module).__module__.startswith("torch.nn.modules."))
        )
    }


def _complaint(trial: Trial) -> str:
    """What stands in the way of a strict load."""
    if trial.error:
        return trial.error
    if trial.missing:
        return f"missing `{trial.missing[0]}`"
    return f"unexpected `{trial.unexpected[0]}`" if trial.unexpected else ""
