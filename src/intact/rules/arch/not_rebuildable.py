"""The model cannot be built again from the checkpoint alone.

## Cause

A sealed checkpoint records the arguments of the model's constructor, so that `intact.load` builds the model from nothing but the
file and its class. Here an argument left no trace on the instance that can be written down (an open file, a table that was only
looked at), or the model was changed after it was built in a way that no argument gives. The weights are saved whole, and
`intact.load_into` puts them into a model that you build. This is information, and it is given when the model is saved.

## Example

```python
import torch
from torch import nn

import intact


class Tagger(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.words = nn.Embedding(len(vocabulary), 4)  # the vocabulary itself is not kept


model = Tagger(frozenset({"the", "cat", "sat"}))
report = intact.save(model, "tagger.safetensors")
```

## Fix

```python
@intact.recorded
class Recorded(Tagger):  # or keep it: self.vocabulary = vocabulary
    pass


model = Recorded(frozenset({"the", "cat", "sat"}))
intact.save(model, "tagger.safetensors")
again = intact.load("tagger.safetensors", Recorded)
```

## Look-alike

```python
class Plain(nn.Module):
    def __init__(self, words, width=4):  # both can be read off the layer, and a rebuilt model proves it
        super().__init__()
        self.words = nn.Embedding(words, width)


model = Plain(3)
```

## Source

- https://github.com/pytorch/pytorch/issues/30867
- https://github.com/Lightning-AI/pytorch-lightning/issues/4676
- https://github.com/materialyzeai/matgl/issues/237
"""

from __future__ import annotations

CODE = "arch/not-rebuildable"
