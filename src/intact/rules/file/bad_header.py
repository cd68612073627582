"""The file contradicts itself.

## Cause

The part of the file that says where everything stands is not possible: byte ranges overlap or lie outside the file, a shape
does not agree with its bytes, an opcode of the pickle is none, the first block is zeros. A download or a disk that lost a block,
an edit by hand or an exporter that counts wrongly leave such files. Other readers refuse them without the name of the tensor or
of the shard, and lenient ones read wrong values; nothing of such a file is used here.

## Example

```python
import json

import torch
from safetensors.torch import save_file

import intact

header = {
    "a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
    "b": {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]},  # begins within `a`
}
text = json.dumps(header).encode()
path = "model.safetensors"
with open(path, "wb") as file:
    file.write(len(text).to_bytes(8, "little") + text + bytes(24))
report = intact.check(path)
```

## Fix

```python
save_file({"a": torch.zeros(4), "b": torch.ones(4)}, path)  # written again by the program that made it, or fetched again
report = intact.check(path)
```

## Look-alike

```python
path = "converted.safetensors"  # keys and metadata may be any text: they are neither paths nor part of the header's form
save_file({"blocks.0/attn..q": torch.zeros(4)}, path, metadata={"note": '{"data_offsets": [8, 24]'})
```

## Source

- https://github.com/EricTan7/VeritasPP/issues/2
- https://github.com/p-e-w/heretic/pull/420
- https://m00dy.sh/notes/the-format-that-got-it-right
"""

CODE = "file/bad-header"
