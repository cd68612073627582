"""Eight-bit floats without the scale that they were divided by.

## Cause

Weights are stored in eight bits by dividing them by a scale, for the whole tensor or for blocks of it, that stands beside them
(`weight_scale`, `weight_scale_inv`). Without it the codes are numbers too, up to 448, and cast exactly to any wider dtype:
nothing fails, and the layer is a thousand times too strong.

## Example

```python
import torch
from torch import nn

path, model = "draft.pth", nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)).bfloat16()
state = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)).bfloat16().state_dict()
weight = state["1.weight"].float()
state["1.weight"] = (weight / (weight.abs().max() / 448)).to(torch.float8_e4m3fn)
torch.save(state, path)
```

## Fix

```python
state["1.weight"] = weight.bfloat16()  # from the file before the conversion
torch.save(state, path)
```

## Look-alike

```python
path, model = "scaled.pth", None  # the scale travels with the weight
torch.save({"fc.weight": weight.to(torch.float8_e4m3fn), "fc.weight_scale": torch.tensor(0.01)}, path)
```

## Source

- https://github.com/kekzl/imp/pull/1450
- https://github.com/huggingface/transformers/issues/47145
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, some

CODE = "dtype/fp8-without-scale"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields eight-bit floats whose module has no scale in the file."""
    keys = facts.original.tensors
    if not any(tensor.dtype.startswith("float8") for tensor in keys.values()):
        return
    scaled = {key.rpartition(".")[0] for key in keys if "scale" in key.rpartition(".")[2].lower()}
    mine = [
        key
        for key, tensor in keys.items()
        if tensor.dtype.startswith("float8")
        and not tensor.dtype.endswith("e8m0fnu")
        and len(tensor.shape) > 1
        and key not in scaled
        and key.rpartition(".")[0] not in scaled
    ]
    values = facts.values()
    large = [key for key in mine if key not in values or max(abs(values[key].minimum), abs(values[key].maximum)) >= 16]
    if large:
        dtype = keys[large[0]].dtype
        be = "is" if len(large) == 1 else "are"
        reach = f", up to {max(abs(values[k].minimum) if k in values else 0 for k in large):.4g}" if values else ""
        yield Finding(
            CODE,
            "warning",
            f"{count(len(large), 'weight')} {be} {dtype} without a scale in the file: {some(large)}{reach}",
            tuple(large),
            {"dtype": dtype, "tensors": large[:100]},
            cause="the scale was left behind when the file was converted; the codes alone mean something else",
            help="take the weight, or its scale, from the file before the conversion; a model trained in eight bits is all right",
        )


RULE = Rule(CODE, detect, "observe", page=__doc__ or "", needs_model=False)
