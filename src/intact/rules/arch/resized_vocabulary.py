"""The vocabulary has another size.

## Cause

Tokens were added to the tokenizer before fine-tuning (a padding token, chat markers, another language), and the embedding and
the head grew with it; or the rows were padded to a multiple of 64. The model is built for the other vocabulary: "size mismatch
for embed_tokens.weight: [32002, 4096] from checkpoint, [32000, 4096] in current model". Embedding, head and bias are one
cause, not three. Copying the common rows into a smaller model loses the new tokens; the right repair is usually a larger
model.

## Example

```python
import torch
from torch import nn

import intact


class Language(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.embed_tokens, self.lm_head = nn.Embedding(vocabulary, 8), nn.Linear(8, vocabulary)


net, path = Language(vocabulary=102), "with-two-new-tokens.pth"
torch.save(net.state_dict(), path)
model = Language(vocabulary=100)  # the base tokenizer
report = intact.check(path, model)
```

## Fix

```python
model = Language(vocabulary=102)  # the size that the finding names
report = intact.load_into(model, path)
original = net.state_dict()
# the other way round, before training new tokens: load_into(…, allow=["arch/resized-vocabulary"]) copies the common rows
```

## Look-alike

```python
class Pair(nn.Module):
    # Segments are counted in an embedding too, and are no vocabulary (arch/shape-mismatch)
    def __init__(self, segments):
        super().__init__()
        self.words, self.token_type_embeddings = nn.Embedding(100, 8), nn.Embedding(segments, 8)


path, model = "one-segment.pth", Pair(segments=2)
torch.save(Pair(segments=1).state_dict(), path)
```

## Source

- https://github.com/unslothai/unsloth/issues/237
- https://github.com/huggingface/transformers/issues/16479
- https://github.com/huggingface/peft/issues/2415
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.resizing import copy_common, resized

CODE = "arch/resized-vocabulary"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the differences of shape that are about this, as one cause."""
    yield from resized(
        facts,
        CODE,
        what="the vocabulary has another size",
        cause="tokens were added to or removed from the vocabulary between saving and loading",
        loss="common rows are copied, further rows of the model stay fresh, further rows of the file are dropped",
        step=copy_common,
    )


RULE = Rule(CODE, detect, page=__doc__ or "")
