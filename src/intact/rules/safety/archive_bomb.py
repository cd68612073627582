"""Reading the file would take more than its size can justify.

## Cause

A small file asks for very much: members that inflate to many times the file, a pickle that builds long texts out of short ones,
objects that share their parts so often that walking through them would never end. No program that saves models writes that.
Whoever reads it without limits runs out of memory or of time; here the reading stops at declared bounds.

## Example

```python
import torch

import intact

level = [torch.ones(1)]
for _ in range(64):
    level = [level, level]  # one tensor at the end of 2 ** 64 paths
path = "model.pth"
torch.save(level, path)
report = intact.check(path)
```

## Fix

```python
torch.save({"weight": torch.ones(1)}, path)  # from somebody you trust; this one is not to be loaded with anything else either
report = intact.check(path)
```

## Look-alike

```python
path = "tied.pth"  # one tensor under a thousand names, and a view that is much larger than its bytes
shared = torch.ones(4)
torch.save({**{f"layers.{number}.weight": shared for number in range(1000)}, "mask": torch.ones(1).expand(10_000, 10_000)}, path)
```

## Source

No report of a user is known to us: files like these are made to attack. What is bounded, and by how much, stands beside the
constants of `src/intact/containers/zips.py`, `src/intact/containers/objects.py` and `src/intact/containers/pickles/`.
"""

CODE = "safety/archive-bomb"
