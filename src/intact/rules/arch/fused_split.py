"""One tensor here is several there.

## Cause

Query, key and value projections were put into one matrix (`in_proj_weight`, `qkv`), gate and up into another, the experts of
a mixture into one tensor of three dimensions; or a file was written after that and the model keeps the parts. Putting
together and taking apart lose nothing, but the order of parts of equal shape has to be known. `torch.nn.MultiheadAttention`
says that it is query, key, value, and numbers say it for layers and experts; a class of your own may interleave them by head,
so there the plan waits for your word.

## Example

```python
import torch
from torch import nn

import intact

path, model = "split.pth", nn.MultiheadAttention(8, 2)
state = model.state_dict()
for name in ("weight", "bias"):
    q, k, v = state.pop(f"in_proj_{name}").clone().chunk(3)
    state |= {f"q_proj.{name}": q, f"k_proj.{name}": k, f"v_proj.{name}": v}
torch.save(state, path)
report = intact.check(path, model)
```

## Fix

```python
original = {key: value.clone() for key, value in model.state_dict().items()}
intact.load_into(model, path)
```

## Look-alike

```python
path, model = "whole.pth", nn.MultiheadAttention(8, 2)
torch.save(model.state_dict(), path)
```

## Source

- https://github.com/foundation-model-stack/foundation-model-stack/pull/181
- https://github.com/sgl-project/sglang/pull/29659
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.alignment.fusing import Fusion, find_fusions
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import LOSS_FREE, count, example, some
from intact.repairs.merge import Merge, Recipe
from intact.repairs.split import Split

CODE = "arch/fused-split"

SPELLED = "gate_up"
"""Name of a whole that spells its parts and their order, and whose parts have no heads that could be interleaved."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields what has to be put together, then what has to be taken apart."""
    if any(tensor.nest for tensor in facts.found.tensors.values()):
        return
    missing = {d.key: d.expected for d in facts.of_kind("missing") if d.expected is not None and d.expected.shape}
    extra = {d.key: d.found for d in facts.of_kind("unexpected") if d.found is not None and d.found.shape}
    if not missing or not extra:
        return
    fused = find_fusions(missing, extra)
    if fused:
        yield _merging(facts, fused)
        return
    split = find_fusions(extra, missing)
    if split:
        yield _splitting(facts, split)


def _merging(facts: Facts, fusions: list[Fusion]) -> Finding:
    found, expected = facts.found.tensors, facts.expected.tensors
    certain = all(_certain(facts, fusion, fusion.whole) for fusion in fusions)
    parts = [part for fusion in fusions for row in fusion.parts for part in row]
    first = fusions[0]
    return Finding(
        CODE,
        "error",
        f"{count(len(fusions), 'tensor')} of the model {_are(fusions)} {count(len(parts), 'tensor')} in the "
        f"file: `{first.whole}` is {some([part for row in first.parts for part in row])}",
        tuple(parts),
        {"made": {f.whole: [list(row) for row in f.parts] for f in fusions}, "grade": "forced" if certain else "likely"},
        (example(found[first.parts[0][0]], None), example(None, expected[first.whole])),
        "the model keeps in one tensor what the class that was saved kept in several",
        _help(certain=certain, named=all(fusion.named for fusion in fusions)),
        Merge(tuple((fusion.whole, _recipe(fusion)) for fusion in fusions), lossless=certain),
        frozenset([*(("missing", f.whole) for f in fusions), *(("unexpected", part) for part in parts)]),
    )


def _splitting(facts: Facts, fusions: list[Fusion]) -> Finding:
    found, expected = facts.found.tensors, facts.expected.tensors
    certain = all(_certain(facts, fusion, fusion.parts[0][0]) for fusion in fusions)
    rows = tuple((f.whole, tuple((part, expected[part].shape) for row in f.parts for part in row)) for f in fusions)
    parts = [part for _, row in rows for part, _ in row]
    first = fusions[0]
    return Finding(
        CODE,
        "error",
        f"{count(len(fusions), 'tensor')} of the file {_are(fusions)} {count(len(parts), 'tensor')} in the model: "
        f"`{first.whole}` is {some([part for row in first.parts for part in row])}",
        tuple(fusion.whole for fusion in fusions),
        {"parts": {whole: [part for part, _ in row] for whole, row in rows}, "grade": "forced" if certain else "likely"},
        (example(found[first.whole], None), example(None, expected[parts[0]])),
        "the class that was saved kept in one tensor what the model keeps in several",
        _help(certain=certain, named=all(fusion.named for fusion in fusions)),
        Split(rows, lossless=certain),
        frozenset([*(("unexpected", f.whole) for f in fusions), *(("missing", part) for part in parts)]),
    )


def _are(fusions: list[Fusion]) -> str:
    return "is" if len(fusions) == 1 else "are"


def _certain(facts: Facts, fusion: Fusion, key: str) -> bool:
    """Whether names say that they belong together, and the order is known: numbers tell it, or the class that keeps them."""
    if not fusion.named:
        return False
    if fusion.ordered == "one" or (not fusion.stacked and all(len(row) == 1 for row in fusion.parts)):
        return True
    if not fusion.stacked and fusion.ordered == "names" and len(fusion.parts) == 1 and _numbered(fusion.parts[0]):
        return True
    if fusion.ordered == "names" and any(name.startswith(SPELLED) for name in fusion.whole.split(".")[-2:]):
        return True
    modules = [facts.expected.modules.get(path) for path in (key.rpartition(".")[0], key.rpartition(".")[0].rpartition(".")[0])]
    return fusion.ordered == "names" and any(m is not None and m.class_name.endswith(".MultiheadAttention") for m in modules)


def _numbered(parts: tuple[str, ...]) -> bool:
    numbers = [[part for part in key.split(".") if part.isdecimal()] for key in parts]
    return len({tuple(row) for row in numbers}) == len(parts)


def _help(*, certain: bool, named: bool) -> str:
    if certain:
        return LOSS_FREE
    if not named:
        return f'only sizes say that they belong together; if they do, allow it: allow=["{CODE}"] (command: --allow {CODE})'
    return (
        "parts of equal shape may also be interleaved, head by head; if they stand one after the other in the order shown, "
        f'allow it: allow=["{CODE}"] (command: --allow {CODE})'
    )


def _recipe(fusion: Fusion) -> Recipe:
    rows: list[Recipe] = [row[0] if len(row) == 1 else ("cat", row) for row in fusion.parts]
    if not fusion.stacked:
        return rows[0] if len(rows) == 1 else ("cat", tuple(rows))
    return ("stack", tuple(rows))


RULE = Rule(CODE, detect, page=__doc__ or "")
