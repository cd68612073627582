"""The model's own loading code takes the keys as they are.

## Cause

The class carries code for its own older checkpoints: a hook registered with `register_load_state_dict_pre_hook`, or its own
`_load_from_state_dict`, renames keys while torch loads. Compared key by key the file does not fit; loaded by torch it does.
The hooks were tried on a copy of the names, and what they rename is listed. This is information, not a fault.

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
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, example
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


RULE = Rule(CODE, detect, page=__doc__ or "")
