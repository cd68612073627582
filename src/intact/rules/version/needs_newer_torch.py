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

CODE = "version/needs-newer-torch"
