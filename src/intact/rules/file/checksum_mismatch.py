"""Bytes are not what they were when the checkpoint was sealed.

## Cause

A sealed checkpoint carries a digest for every mebibyte of every tensor and one for its header. Here some bytes have another
digest: a bit flipped on the disk or on the way, a block was lost or written to the wrong place, or a program changed the file.
torch and safetensors load such a file without a word. The report names the tensors and the byte ranges; all others are as they
were saved.

As a warning it says that the seal is that of another file: a program wrote the tensors anew and copied the metadata, or the index
of a set is not the one that was sealed with its shards. Nothing is known to be damaged then, and nothing can be verified.

## Example

```python
from pathlib import Path

from torch import nn

import intact

net, path = nn.Linear(64, 64), "model.safetensors"
intact.save(net, path)
content = bytearray(Path(path).read_bytes())
content[-100] ^= 0x40  # one bit
Path(path).write_bytes(content)
model = nn.Linear(64, 64)
report = intact.check(path, model)
```

## Fix

```python
intact.save(net, path)  # a damaged file is fetched or written again; nothing in it says what the bit was
report = intact.load_into(model, path)
original = net.state_dict()
```

## Look-alike

```python
# Another save of the same model: other digests, and they agree with its bytes.
path, model = "again.safetensors", nn.Linear(64, 64)
intact.save(net, path)
```

## Source

- https://github.com/pytorch/pytorch/issues/126952
- https://github.com/safetensors/safetensors/issues/220
- https://github.com/huggingface/diffusers/issues/14784
"""

from __future__ import annotations

CODE = "file/checksum-mismatch"
