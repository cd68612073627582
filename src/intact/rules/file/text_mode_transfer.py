r"""The bytes were changed as if they were text.

## Cause

Something on the way took the file for text: an editor, an upload form, a transfer in text mode, version control that rewrites
line ends. Bytes above 7F became replacement characters (EF BF BD) or two bytes each, or every line feed got a carriage return
before it. Sizes and offsets are wrong from the first such byte on, and what was replaced is gone; a repair is not worth the
attempt.

## Example

```python
from pathlib import Path

import torch

import intact

torch.manual_seed(0)
torch.save({"weight": torch.randn(64, 64)}, "original.pth")
path = "model.pth"
text = Path("original.pth").read_text(encoding="utf-8", errors="replace")  # as an editor does it
Path(path).write_text(text, encoding="utf-8")
report = intact.check(path)
```

## Fix

```python
Path(path).write_bytes(Path("original.pth").read_bytes())  # transferred again, in binary mode
report = intact.check(path)
```

## Look-alike

```python
path = "documented.pth"  # text with such line ends within a checkpoint
torch.save({"readme": "one line\r\n" * 1000, "weight": torch.ones(4)}, path)
```

## Source

- https://github.com/CPJKU/madmom_models/issues/7
- https://github.com/xammen/BetterTrumpet/issues/54
"""

CODE = "file/text-mode-transfer"
