"""The file is an adapter: small matrices that change a model, without the model.

## Cause

Adapters (LoRA and its kin) are saved alone, because they are small: for each weight that they change two matrices of a low
rank, whose product is added to it. The base model is another file. Loading the adapter into the base class finds no key that
fits; with `strict=False` nothing is loaded, and the model answers as if it had never been tuned.

## Example

```python
import torch
from torch import nn

path, model = "adapter_model.bin", nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
state = {}
for name in ("0", "1"):
    state[f"base_model.model.{name}.lora_A.weight"] = torch.randn(4, 16)
    state[f"base_model.model.{name}.lora_B.weight"] = torch.randn(16, 4)
torch.save(state, path)
```

## Fix

```python
base = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16)).state_dict()  # from the file of the base model
for name in ("0", "1"):
    up, down = state[f"base_model.model.{name}.lora_B.weight"], state[f"base_model.model.{name}.lora_A.weight"]
    base[f"{name}.weight"] += up @ down  # times alpha / rank, as the adapter's configuration says
torch.save(base, path)
```

## Look-alike

```python
class Small(nn.Module):
    # A model that is itself made of two thin layers
    def __init__(self):
        super().__init__()
        self.lora_A, self.lora_B = nn.Linear(16, 4, bias=False), nn.Linear(4, 16, bias=False)


path, model = "small.pth", Small()
torch.save(Small().state_dict(), path)
```

## Source

- https://github.com/meta-pytorch/torchtune/issues/1188
- https://github.com/meta-pytorch/torchtune/issues/2537
- https://github.com/huggingface/peft/issues/309
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.tensor import TensorInfo
from intact.core.wording import count, example, some

CODE = "arch/adapter-only"
_PARTS = re.compile(
    r"^(?P<base>.*?)[._](?P<part>lora_(?:A|B|up|down|mid|embedding_A|embedding_B|magnitude_vector)|hada_w[12]_[ab]|lokr_w[12](?:_[ab])?"
    r"|ia3_l|oft_r|adapter_(?:down|up)|vera_lambda_[bd])(?:\.default)?(?:\.weight|\.alpha)?$"
)
_SAID = re.compile("lora_|hada_w|lokr_w|ia3_l|oft_r|adapter_|vera_lambda")
_SHARE = 0.9
"""Share of a file's tensors that are parts of adapters; a few others, such as a new head, are saved with them."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields a file that holds the matrices of an adapter and hardly anything else."""
    if not facts.says(_SAID):
        return
    unexpected = {d.key: d.found for d in facts.of_kind("unexpected") if d.found}
    missing = facts.of_kind("missing")
    if not unexpected or not missing:
        return
    parts = {key: match for key in unexpected if (match := _PARTS.match(key))}
    alphas = [key for key in unexpected if key.endswith(".alpha")]
    found = facts.found.tensors
    if not parts or (len(parts) + len(alphas)) < _SHARE * len(found):
        return
    bases = sorted({match["base"] for match in parts.values()})
    ranks = sorted(_ranks(unexpected, parts))
    said = f", of rank {', '.join(map(str, ranks[:3]))}" if ranks else ""
    yield Finding(
        CODE,
        "error",
        f"the file is an adapter for {count(len(bases), 'weight')}{said}, and holds no weights of the model: {some(list(parts))}",
        tuple(parts),
        {"weights": len(bases), "ranks": ranks, "tensors": len(found), "missing": len(missing)},
        tuple(example(unexpected[key], None) for key in list(parts)[:3]),
        "adapters are saved without the model that they change; the base is another file",
        "load the base model first, then add the adapter with the library that made it (peft: PeftModel.from_pretrained)",
        None,
        frozenset(d.mark for d in facts.differences),
    )


def _ranks(tensors: Mapping[str, TensorInfo], parts: Mapping[str, re.Match[str]]) -> set[int]:
    """The smaller side of each first matrix."""
    return {
        min(tensors[key].shape)
        for key, match in parts.items()
        if match["part"] in ("lora_A", "lora_down") and len(tensors[key].shape) >= 2
    }


RULE = Rule(CODE, detect, page=__doc__ or "")
