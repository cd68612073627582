"""Matrices are stored the other way round.

## Cause

Some classes keep a weight as `[in, out]` (GPT-2's `Conv1D`, most of JAX and TensorFlow), `torch.nn.Linear` as `[out, in]`.
Turning the matrix round loses nothing, but the shape shows it only where the two sizes differ: a square matrix fits either
way, loads without a word, and computes nonsense. intact turns round what the shapes prove; where every other matrix of that
kind of layer is stored the other way round, the square ones are too, and because no shape proves that, the plan waits for
your word.

## Example

```python
import torch
from safetensors.torch import save_file
from torch import nn

import intact

path, model = "conv1d.safetensors", nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
original = {key: value.clone() for key, value in model.state_dict().items()}
save_file({key: value.t().contiguous() if value.dim() == 2 else value for key, value in original.items()}, path)
report = intact.check(path, model)
```

## Fix

```python
intact.load_into(model, path)
```

## Look-alike

```python
from torch import nn

path, model = "wide.pth", nn.Linear(4, 8)
torch.save(model.state_dict(), path)
```

## Source

- https://github.com/huggingface/transformers/issues/311
- https://github.com/vllm-project/vllm/pull/40312
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.difference import Difference
from intact.core.finding import Finding
from intact.core.keys import leaf_of, owner_of
from intact.core.rule import Facts, Rule
from intact.core.wording import LOSS_FREE, count, example, some
from intact.repairs.transpose import Transpose

CODE = "arch/transposed"

SEVERAL = 2
"""In how many roles matrices must be stored the other way round for the square ones to follow."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the matrices whose two sizes are swapped, with the square ones of the same kind of layer."""
    turned = [d for d in facts.of_kind("shape") if _swapped(d)]
    if not turned:
        return
    keys = {d.key for d in turned}
    if _under_another_name(facts, keys):
        return  # renamed, or taken out of a whole, first: then it is turned round with its like
    square = _square(facts, keys)
    certain = not square or _throughout(facts, keys, square) or all(_stored_so(facts, key) for key in square)
    every = tuple(key for key in facts.expected.tensors if key in keys or key in square)
    found, expected = facts.found.tensors, facts.expected.tensors
    headline = f"{count(len(keys), 'matrix', 'matrices')} {'is' if len(keys) == 1 else 'are'} stored the other way round"
    if square:
        headline += f", and so, no shape tells, {'is' if len(square) == 1 else 'are'} {count(len(square), 'square one')}"
    yield Finding(
        CODE,
        "error",
        f"{headline}: {some(list(every))}",
        every,
        {"turned": sorted(keys), "square": list(square), "grade": "forced" if certain else "likely"},
        tuple(example(found[key], expected[key]) for key in (*sorted(keys)[:2], *square[:1])),
        "the class that was saved keeps its weights as [in, out] (`Conv1D` of GPT-2 and others), this one as [out, in]",
        LOSS_FREE if certain else f'if the square ones were stored so too, allow it: allow=["{CODE}"] (command: --allow {CODE})',
        Transpose(every, lossless=certain),
        frozenset(d.mark for d in turned),
    )


def _swapped(d: Difference) -> bool:
    if d.found is None or d.expected is None or len(d.found.shape) != 2:
        return False
    return d.found.shape == d.expected.shape[::-1] and d.found.layout == d.expected.layout


def _square(facts: Facts, turned: set[str]) -> tuple[str, ...]:
    """Square matrices whose like are stored the other way round: the same kind of module, without a counterexample."""
    classes = {_kind(facts, key) for key in turned}
    names = {leaf_of(owner_of(key)) for key in turned}
    square = []
    for key, wanted in facts.expected.tensors.items():
        if len(wanted.shape) != 2 or key not in facts.found.tensors or facts.found.tensors[key].shape != wanted.shape:
            continue
        if wanted.shape[0] != wanted.shape[1]:
            classes.discard(_kind(facts, key))  # one that stands as this model has it
            names.discard(leaf_of(owner_of(key)))
        else:
            square.append(key)
    return tuple(key for key in square if _kind(facts, key) in classes or leaf_of(owner_of(key)) in names)


def _under_another_name(facts: Facts, turned: set[str]) -> bool:
    """Whether a square matrix of such a layer is missing that may stand in the file under another name, or in a larger tensor."""
    if not any(d.found is not None and len(d.found.shape) > 1 for d in facts.of_kind("unexpected")):
        return False
    kinds = {_kind(facts, key) for key in turned}
    missing = {d.expected.shape for d in facts.of_kind("missing") if d.expected is not None and _kind(facts, d.key) in kinds}
    return any(len(shape) == 2 and shape[0] == shape[1] for shape in missing)


def _throughout(facts: Facts, turned: set[str], square: tuple[str, ...]) -> bool:
    """Whether every matrix of these kinds of layer whose shape can tell is stored so, in several roles."""
    kinds = {_kind(facts, key) for key in square}
    roles = {(leaf_of(owner_of(key)), facts.expected.tensors[key].shape) for key in turned if _kind(facts, key) in kinds}
    against = [
        key
        for key, wanted in facts.expected.tensors.items()
        if len(wanted.shape) == 2 and wanted.shape[0] != wanted.shape[1] and key not in turned and _kind(facts, key) in kinds
    ]
    return len(roles) >= SEVERAL and not against


def _kind(facts: Facts, key: str) -> str:
    module = facts.expected.module_of(key)
    return f"{module.class_name if module else ''}:{leaf_of(key)}"


def _stored_so(facts: Facts, key: str) -> bool:
    """Whether the file itself says that its module keeps weights the other way round."""
    module = facts.original.module_of(facts.found.tensors[key].source or key)
    return module is not None and module.class_name.rpartition(".")[2] == "Conv1D"


RULE = Rule(CODE, detect, page=__doc__ or "")
