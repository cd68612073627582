"""The checkpoint was saved with another release of PyTorch.

## Cause

A release of PyTorch changes kernels, defaults and now and then the code of a layer. The weights load all the same, and outputs
are usually equal in all but the last digits; where they are not, this is the first thing to look at. It is information and counts
for nothing against the file. A release of repairs (2.13.0 and 2.13.1) and another build of one release (`+cpu`, `+cu128`) are
not mentioned. Only where the file holds a dtype that this PyTorch does not have yet, it is a warning.

## Example

```python
from dataclasses import replace

import torch
from safetensors.torch import save_file
from torch import nn

import intact
from intact.model.surroundings.environment import capture_environment

net = nn.Linear(4, 2)
recorded = replace(capture_environment(net), torch="2.4.1+cu121", torch_commit="")
path = "model.safetensors"
save_file(net.state_dict(), path, metadata={"intact.environment": recorded.to_json()})  # as sealed by an older release

model = nn.Linear(4, 2)
report = intact.check(path, model)
assert report.verdict == "intact"
```

## Fix

```python
# It loads. `intact env model.safetensors -o requirements.txt` writes what brings the other release back
report = intact.load_into(model, path)
original = net.state_dict()
```

## Look-alike

```python
path, model = "repaired.safetensors", nn.Linear(4, 2)
release = ".".join(torch.__version__.split(".")[:2])
repaired = replace(recorded, torch=f"{release}.99")  # a release of repairs, which changes no results
save_file(net.state_dict(), path, metadata={"intact.environment": repaired.to_json()})
```

## Source

- https://github.com/pytorch/pytorch/issues/44295
- https://github.com/pytorch/rl/pull/4064
- https://pytorch.org/docs/stable/notes/randomness.html
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Example, Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import some
from intact.environments import release_of, torch_line

CODE = "version/torch-differs"

SINCE: dict[str, tuple[int, int]] = {
    "float8_e4m3fn": (2, 1),
    "float8_e5m2": (2, 1),
    "float8_e4m3fnuz": (2, 2),
    "float8_e5m2fnuz": (2, 2),
    "uint16": (2, 3),
    "uint32": (2, 3),
    "uint64": (2, 3),
    "float8_e8m0fnu": (2, 7),
    "float4_e2m1fn_x2": (2, 8),
}
"""The first release of torch that has a dtype, for those that came after 2.0."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields a warning where the file needs a newer torch, else the information that it was saved with another release."""
    if facts.environments is None:
        return
    recorded, current = facts.environments
    line = torch_line(recorded, current)
    if line.consequence != "may-change-outputs":
        return
    evidence = {"recorded": recorded.torch, "current": current.torch, "recorded_commit": recorded.torch_commit}
    newer = _too_new(facts, release_of(current.torch)[:2])
    yield Finding(
        CODE,
        "warning" if newer else "info",
        f"saved with torch {line.recorded}, and this is torch {line.current}"
        + (f", which does not have the dtype {some(newer)} yet" if newer else ""),
        tuple(key for key, tensor in facts.original.tensors.items() if tensor.dtype in newer),
        {**evidence, "dtypes": list(newer)} if newer else evidence,
        (Example(f"torch {line.recorded}", f"torch {line.current}"),),
        f"{line.reason}: kernels and defaults change between releases, and outputs may differ in the last digits",
        "if outputs differ more than that: `intact env FILE -o requirements.txt` writes what brings the recorded one back",
    )


def _too_new(facts: Facts, here: tuple[int, ...]) -> tuple[str, ...]:
    dtypes = dict.fromkeys(tensor.dtype for tensor in facts.original.tensors.values())
    return tuple(dtype for dtype in dtypes if here and SINCE.get(dtype, here) > here)


RULE = Rule(CODE, detect, "observe", page=__doc__ or "", needs_model=False)
