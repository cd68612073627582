r"""Python 2 wrote bytes into the file that are no text.

## Cause

Strings of Python 2 were bytes, in whatever encoding the machine had. Python 3 decodes them while it unpickles, torch as UTF-8:
one label in GBK or Latin-1, or an array whose numbers were pickled as a string, and `torch.load` ends with UnicodeDecodeError.
intact keeps what is no text as bytes, and reads the tensors beside it.

## Example

```python
from pathlib import Path

import torch

import intact

path, model = "py2.pth", torch.nn.Linear(2, 3)
label = b"U\x04\xc4\xe3\xba\xc3"  # SHORT_BINSTRING, as Python 2 writes a str: four bytes of GBK
torch.save({**model.state_dict(), "label": "@@@@"}, path, _use_new_zipfile_serialization=False)
data = Path(path).read_bytes().replace(b"X\x04\x00\x00\x00@@@@", label)
Path(path).write_bytes(data)
report = intact.check(path, model)
```

## Fix

```python
original = {key: value.clone() for key, value in model.state_dict().items()}
state = intact.read(path)
state["label"] = state["label"].decode("gbk")  # the bytes are there; the encoding is for the user to say
torch.save(state, path)
intact.load_into(model, path)
```

## Look-alike

```python
path, model = "py3.pth", torch.nn.Linear(2, 3)
torch.save({**model.state_dict(), "label": "\u4f60\u597d", "raw": b"\xc4\xe3"}, path)  # text and bytes of Python 3
```

## Source

- https://github.com/pytorch/pytorch/pull/14743
- https://github.com/pytorch/pytorch/issues/21743
- https://github.com/lfz/DSB2017/issues/14
"""

CODE = "version/python2-strings"
