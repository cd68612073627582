"""The file does not say which version of the model's classes wrote it, and their loading code depends on that.

## Cause

A state dict carries `_metadata`: the version of each module's class. Classes that once stored their tensors otherwise read it in
`_load_from_state_dict` and change what older versions wrote. It is lost where a state dict is rebuilt as a plain mapping
(`{key: value for key, value in state.items()}`, an average of two files, a gathered or filtered one) and in formats that have no
place for it, safetensors among them. Torch then takes the file for one of the oldest version: it refuses it, or changes values
that were right, without a word. intact tries on copies without memory what would be changed.

## Example

```python
import torch
from torch import nn

import intact


class Stem(nn.Module):
    _version = 2

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
        version = local_metadata.get("version")
        if version not in (1, 2):
            raise ValueError(f"version should be 1 or 2 instead of {version}")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


path, model = "averaged.pth", nn.Sequential(Stem(), nn.ReLU())
state = nn.Sequential(Stem(), nn.ReLU()).state_dict()
torch.save({key: value for key, value in state.items()}, path)  # another mapping, and no metadata
report = intact.check(path, model)
```

## Fix

```python
original = dict(state)
intact.load_into(model, path)  # with the versions of the classes as they are here
torch.save(model.state_dict(), path)
```

## Look-alike

```python
path, model = "copied.pth", nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
torch.save(dict(model.state_dict()), path)  # no class of this model changes anything for the sake of a version
```

## Source

- https://github.com/pytorch/vision/blob/v0.20.0/torchvision/models/mnasnet.py
- https://github.com/pytorch/pytorch/issues/8481
- https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.state_dict
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from intact.core.finding import Finding
from intact.core.keys import owner_of
from intact.core.rule import ByVersion, Facts, Rule
from intact.core.wording import LOSS_FREE, count, some
from intact.repairs.versions import Versions

CODE = "version/metadata-lost"

ROOTS_LIMIT = 50
"""Places of the file that may be the model's own root."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields modules whose loading code depends on a version that the file does not keep."""
    if not facts.has_model or facts.differences or facts.original.modules:
        return
    matter = facts.by_version(replace(facts.found, metadata=recorded(facts)))
    lost = [path for path, version in matter.recorded.items() if version is None] if matter is not None else []
    if matter is None or not lost:
        return
    if matter.complaint:
        yield _refused(matter, lost)
    changed = tuple(key for key in matter.changed if _above(owner_of(key), lost) is not None)
    if changed:
        yield _changed(matter, lost, changed)


def recorded(facts: Facts) -> Mapping[str, int]:
    """Returns the versions that the file keeps, by path in the model, whatever stands in front of every path in the file."""
    paths, whole = facts.expected.modules, facts.original.metadata
    for root in sorted(whole, key=len)[:ROOTS_LIMIT]:
        if all((f"{root}.{path}" if root and path else root or path) in whole for path in paths):
            return {path: whole[f"{root}.{path}" if root and path else root or path] for path in paths}
    return facts.found.metadata


def _refused(matter: ByVersion, lost: list[str]) -> Finding:
    return Finding(
        CODE,
        "error",
        f"the file does not say which version of {_classes(matter, lost)} wrote it, and torch, which takes it for the oldest, "
        f"ends in: {matter.complaint}",
        (),
        {"modules": lost[:100], "versions": {path: matter.current[path] for path in lost[:100]}, "torch": matter.complaint},
        (),
        "the state dict was rebuilt as a plain mapping, or written in a format without a place for `_metadata`",
        f"{LOSS_FREE}: every key and shape is that of the classes as they are here",
        Versions(tuple(matter.current.items())),
    )


def _changed(matter: ByVersion, lost: list[str], changed: tuple[str, ...]) -> Finding:
    return Finding(
        CODE,
        "warning",
        f"the file does not say which version of {_classes(matter, lost)} wrote it: torch takes it for the oldest, whose values "
        f"the class changes ({count(len(changed), 'key')}: {some(changed)}), and intact takes them as they are",
        changed,
        {"modules": lost[:100], "versions": {path: matter.current[path] for path in lost[:100]}, "changed": list(changed)},
        (),
        "the state dict was rebuilt as a plain mapping, or written in a format without a place for `_metadata`; nothing in it "
        "tells old values from new ones",
        "if the file is from before the change, let torch do it: model.load_state_dict(intact.read(path)); else load with intact",
    )


def _classes(matter: ByVersion, paths: list[str]) -> str:
    names = dict.fromkeys(f"{matter.classes[path]}` (now {matter.current[path]}" for path in paths)
    first = next(iter(names))
    return f"`{first})" + (f" and {count(len(names) - 1, 'other class', 'other classes')}" if len(names) > 1 else "")


def _above(path: str, paths: list[str]) -> str | None:
    """The module of a list that one of its own, or one below it, stands in."""
    return next((above for above in paths if not above or path == above or path.startswith(f"{above}.")), None)


RULE = Rule(CODE, detect, "explain", page=__doc__ or "", needs_model=False)
