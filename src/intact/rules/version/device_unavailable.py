"""Tensors were saved from a device that torch does not know by itself.

## Cause

A file remembers where each tensor was. `torch.load` puts it back there, and where the device belongs to a backend that is not
installed (an NPU, an HPU, an out-of-tree `privateuseone`), it fails although the numbers are the same everywhere. intact reads
tensors into the memory of the CPU and copies them to wherever the model is.

## Example

```python
import torch

import intact

path, model = "npu.pth", torch.nn.Linear(2, 3)
real, torch.serialization.location_tag = torch.serialization.location_tag, lambda storage: "privateuseone:0"
torch.save(model.state_dict(), path)
torch.serialization.location_tag = real
report = intact.check(path, model)
```

## Fix

```python
original = {key: value.clone() for key, value in model.state_dict().items()}
intact.load_into(model, path)
```

## Look-alike

```python
path, model = "cpu.pth", torch.nn.Linear(2, 3)
torch.save(model.state_dict(), path)
```

## Source

- https://docs.pytorch.org/docs/stable/generated/torch.load.html
- https://github.com/pytorch/pytorch/blob/v2.13.0/torch/serialization.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count

CODE = "version/device-unavailable"

EVERYWHERE = frozenset({"", "cpu", "meta", "cuda", "mps"})
"""Kinds of device that every torch knows, whether there is one or not."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the devices of other backends that tensors were saved from."""
    devices = Counter(tensor.device for tensor in facts.original.tensors.values())
    for device, number in devices.items():
        if device.partition(":")[0] not in EVERYWHERE:
            were = "was" if number == 1 else "were"
            keys = tuple(key for key, tensor in facts.original.tensors.items() if tensor.device == device)
            yield Finding(
                CODE,
                "info",
                f"{count(number, 'tensor')} {were} saved from `{device}`, a device that torch alone does not have",
                keys,
                {"device": device, "tensors": number},
                (),
                "torch.load puts tensors back where they were, and fails where that backend is not installed",
                "intact reads them into the memory of the CPU; with torch, say map_location='cpu'",
            )


RULE = Rule(CODE, detect, "observe", page=__doc__ or "", needs_model=False)
