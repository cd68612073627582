"""The model's own loading code takes the keys as they are.

## Cause

The class carries code for its own older checkpoints: a hook registered with `register_load_state_dict_pre_hook`, or its own
`_load_from_state_dict`, renames keys while torch loads. Compared key by key the file does not fit; loaded by torch it does.
The hooks were tried on a copy of the names, and what they rename is listed. This is information, not a fault.

Before a save the other direction is tried as well. A `state_dict` written by hand may leave learned tensors out, and a
`load_state_dict` may take less than it is given, or raise at the model's own state; then an audit names the keys.

## Example

```python
import torch
from torch import nn

import intact


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.decoder = nn.Linear(4, 8), nn.Linear(8, 3)
        self.register_load_state_dict_pre_hook(self.rename)

    def rename(self, module, state_dict, prefix, *rest):  # version 1 said `crf_out`, version 2 says `decoder`
        for name in ("weight", "bias"):
            if f"{prefix}crf_out.{name}" in state_dict:
                state_dict[f"{prefix}decoder.{name}"] = state_dict.pop(f"{prefix}crf_out.{name}")


net, path = Tagger(), "version-1.pth"
torch.save({key.replace("decoder", "crf_out"): value for key, value in net.state_dict().items()}, path)
model = Tagger()
report = intact.check(path, model)
```

## Fix

```python
report = intact.load_into(model, path)  # nothing to do: the model's own renaming is followed
original = net.state_dict()
```

## Look-alike

```python
path, model = "version-2.pth", Tagger()
torch.save(Tagger().state_dict(), path)  # today's keys: the hook is there and has nothing to rename
```

## Source

- https://github.com/pytorch/pytorch/issues/75287
- https://github.com/speechbrain/speechbrain/pull/2529
- https://github.com/huggingface/transformers/pull/32194
- https://github.com/postBG/DTA.pytorch/issues/5
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, example, some
from intact.losses import graded, loss, sizes
from intact.repairs.keep import Keep
from intact.repairs.rename import Rename

CODE = "arch/custom-loader"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the renames that the model's own hooks would make."""
    if not facts.of_kind("missing") or not facts.of_kind("unexpected"):
        return
    migration = facts.migrate(facts.found)
    if migration is None or not migration.renames:
        return
    found, expected = facts.found.tensors, facts.expected.tensors
    pairs = tuple((a, b) for a, b in migration.renames.items() if a in found and b in expected and a != b and b not in found)
    if not pairs or any(found[a].shape != expected[b].shape for a, b in pairs):
        return
    yield Finding(
        CODE,
        "info",
        f"the model's own loading code renames {count(len(pairs), 'key')}: `{pairs[0][0]}` becomes `{pairs[0][1]}`",
        tuple(a for a, _ in pairs),
        {"renames": dict(pairs)},
        tuple(example(found[a], expected[b]) for a, b in pairs[:3]),
        "the model registers hooks for checkpoints of its older versions",
        "",
        Rename(pairs),
        frozenset(mark for a, b in pairs for mark in (("unexpected", a), ("missing", b))),
    )


def survive(facts: Facts) -> Iterator[Finding]:
    """Yields tensors that the model's own code leaves out of its state dict, or does not take back from it."""
    for items in graded(facts, "dropped"):
        yield loss(
            CODE,
            items,
            f"the model's own `state_dict` leaves out {count(len(items), 'registered tensor')}, as `{items[0].path}`: "
            f"{sizes(items)}",
            "the class, or a hook, writes the state dict by hand" + (f"; {items[0].evidence}" if items[0].evidence else ""),
            f"let `{items[0].owner_class}.state_dict` give every tensor that was learned",
        )
    for items in graded(facts, "ignored"):
        raises = items[0].evidence
        taken = (
            f"does not take the model's own state dict back: {raises}"
            if raises
            else (f"does not take back {count(len(items), 'tensor')} of the model's own state dict, as `{items[0].path}`")
        )
        yield loss(
            CODE,
            items,
            f"the loading code of `{items[0].owner_class}` {taken}",
            "the class, or a hook, loads by hand; it was tried on a copy that held other values",
            "let it load every key that the state dict has",
            step=Keep(tuple((t.key, t.dtype, t.shape) for item in items for t in item.tensors)),
        )


def observe(facts: Facts) -> Iterator[Finding]:
    """Yields keys that the model's own `load_state_dict` does not take although it is given them."""
    yield from _older(facts)
    migration = facts.migrate(facts.found) if facts.has_model and not facts.differences else None
    skipped = [key for key in migration.missing if key in facts.found.tensors] if migration is not None else []
    if skipped:
        yield Finding(
            CODE,
            "warning",
            f"the model's own loading code leaves out {count(len(skipped), 'key')} that the file has: {some(skipped)}; with "
            "torch they keep fresh values",
            tuple(skipped),
            {"skipped": skipped[:1000]},
            cause="the class overrides `load_state_dict` and drops keys before it calls torch's, which was meant for other files",
            help="intact.load_into gives these keys to torch's own loading code afterwards, and reads them back",
        )


def _older(facts: Facts) -> Iterator[Finding]:
    """Yields keys of an older version whose values the model's own code would change, which nothing here can do in its place."""
    matter = facts.by_version(facts.found) if facts.has_model and not facts.differences else None
    older = [path for path, version in matter.recorded.items() if version is not None] if matter is not None else []
    if matter is None or not older or not matter.changed:
        return
    first, its = older[0], matter.classes[older[0]]
    yield Finding(
        CODE,
        "error",
        f"the file was written by version {matter.recorded[first]} of `{its}`, now {matter.current[first]}, whose own loading "
        f"code makes other values of {count(len(matter.changed), 'key')}: {some(matter.changed)}",
        matter.changed,
        {"recorded": {path: matter.recorded[path] for path in older[:100]}, "changed": list(matter.changed)},
        cause="the class stored these tensors otherwise before; its `_load_from_state_dict` computes what they are now",
        help="load it once with torch, model.load_state_dict(intact.read(path)), and save the model anew",
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
OBSERVE = Rule(CODE, observe, "observe", page=__doc__ or "")
AUDIT = Rule(CODE, survive, "audit", page=__doc__ or "")
