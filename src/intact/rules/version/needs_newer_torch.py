r"""The file holds what this torch does not know.

## Cause

A later release of torch, or another program, wrote a dtype or a layout that the torch of this machine does not have, as happened
with bfloat16, the eight-bit floats and the types narrower than a byte. The file is whole: names, shapes and the name of the dtype
are read, and `intact.check` and `intact.inspect` show them. Only its values cannot become tensors here, and reading them says so.

## Example

```python
import json

import torch
from safetensors.torch import save_file

import intact

header = {"weight": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}}  # six bits for each number
text = json.dumps(header).encode()
path = "model.safetensors"
with open(path, "wb") as file:
    file.write(len(text).to_bytes(8, "little") + text + b"\x08\x82\x20")
try:
    intact.read(path)
except intact.CannotRead as refused:
    error = refused
```

## Fix

```python
save_file({"weight": torch.ones(4)}, path)  # by whoever has the dtype: cast to one that this torch knows; or use that torch
state = intact.read(path)
```

## Look-alike

```python
path = "eight.safetensors"  # a dtype that is unusual, and known
save_file({"weight": torch.ones(4).to(torch.float8_e4m3fn)}, path)
state = intact.read(path)
```

## Source

- https://github.com/pytorch/pytorch/issues/6801
- https://github.com/pytorch/pytorch/issues/48915
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.dtype import dtype_named
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.tensor import TensorInfo
from intact.core.wording import by_permission, count, example, some
from intact.repairs.keep import Keep

CODE = "version/needs-newer-torch"
_CAUSE = "a later release of torch, or another program, wrote it; names and shapes can be read, values cannot"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the tensors whose dtype nothing here knows, where the model has another one for them."""
    mine = [d for d in facts.of_kind("dtype") if d.found and d.expected and not dtype_named(d.found.dtype)]
    if mine:
        yield Finding(
            CODE,
            "error",
            _headline([d.found for d in mine if d.found]),
            tuple(d.key for d in mine),
            {"dtypes": sorted({d.found.dtype for d in mine if d.found})},
            tuple(example(d.found, d.expected) for d in mine[:3]),
            _CAUSE,
            by_permission(CODE, f"{count(len(mine), 'tensor')} keep the model's fresh values"),
            Keep(tuple((d.key, d.expected.dtype, d.expected.shape) for d in mine if d.expected)),
            frozenset(d.mark for d in mine),
        )


def observe(facts: Facts) -> Iterator[Finding]:
    """Yields the tensors whose dtype nothing here knows, where there is no model to hold them against."""
    unknown = [] if facts.has_model else [t for t in facts.original.tensors.values() if not dtype_named(t.dtype)]
    if unknown:
        yield Finding(
            CODE,
            "warning",
            _headline(unknown),
            tuple(tensor.key for tensor in unknown),
            {"dtypes": sorted({tensor.dtype for tensor in unknown})},
            cause=_CAUSE,
            help="convert it where that dtype is known; every other tensor can be read here",
        )


def _headline(tensors: list[TensorInfo]) -> str:
    dtypes = sorted({tensor.dtype for tensor in tensors})
    of = "is" if len(tensors) == 1 else "are"
    keys = some([tensor.key for tensor in tensors])
    return f"{count(len(tensors), 'tensor')} {of} of {some(dtypes)}, which this torch does not know: {keys}"


RULE = Rule(CODE, detect, page=__doc__ or "")
OBSERVE = Rule(CODE, observe, "observe", page=__doc__ or "", needs_model=False)
