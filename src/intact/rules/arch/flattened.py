"""The parameters of each wrapped module are one long vector, as FSDP keeps them while it trains.

## Cause

FullyShardedDataParallel lays the parameters of a module one after the other into `_flat_param` and cuts that into equal parts,
one for each process. A state dict that was taken without `StateDictType.FULL_STATE_DICT`, or from a copy of the wrapped
parameters, holds these vectors in place of the weights; no key of the model is in it. The order within a vector is that in which
the module registers its parameters, so that a vector of just the right length can be taken apart exactly. A part of one cannot:
the other processes have the rest.

## Example

```python
import torch
from torch import nn

import intact

net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
path, model = "flat.pth", nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
flat = torch.cat([parameter.detach().reshape(-1) for parameter in net.parameters()])
torch.save({"_fsdp_wrapped_module._flat_param": flat}, path)
report = intact.check(path, model)
```

## Fix

```python
original = net.state_dict()
intact.load_into(model, path)
torch.save(model.state_dict(), path)
```

## Look-alike

```python
class Scaled(nn.Module):  # a model may have a parameter of that name
    def __init__(self):
        super().__init__()
        self.fc, self.flat_param = nn.Linear(4, 8), nn.Parameter(torch.ones(40))


path, model = "scaled.pth", Scaled()
torch.save(Scaled().state_dict(), path)
```

## Source

- https://github.com/facebookresearch/dinov2/issues/544
- https://github.com/pytorch/pytorch/issues/117421
- https://github.com/facebookresearch/metaseq/issues/691
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.alignment.flats import Layout, Misfit, is_flat, layouts, place_of
from intact.core.finding import Finding
from intact.core.plan import Step
from intact.core.rule import Facts, Rule
from intact.core.tensor import TensorInfo
from intact.core.wording import LOSS_FREE, by_permission, count, example, some
from intact.repairs.drop import Drop
from intact.repairs.reshape import Reshape
from intact.repairs.sequence import Sequence
from intact.repairs.split import Split
from intact.repairs.unnest import Unnest, relative

CODE = "arch/flattened"

DEEPEST_ROOT = 4
"""Names in front of the model's own place that are passed over (`model.student.backbone`)."""


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields the flat parameters of the model, taken apart where their lengths are just right."""
    unexpected = {d.key: d.found for d in facts.of_kind("unexpected") if d.found is not None and is_flat(d.found)}
    if not unexpected or not facts.has_model:
        return
    fitting: list[tuple[str, list[Layout]]] = []
    nearest: list[Misfit] = []
    most = 0
    for at, flats in _groups(unexpected, facts.at).items():
        for root, places in _roots(at, flats, facts):
            found = layouts({key: flats[key] for key in places}, places, facts.expected)
            whole = [layout for layout in found if isinstance(layout, Layout)]
            misfits = [layout for layout in found if isinstance(layout, Misfit)]
            if whole and not misfits:
                fitting.append((root, whole))
            elif len(found) > most:
                nearest, most = misfits, len(found)
    if len(fitting) == 1:
        yield _taken_apart(facts, unexpected, *fitting[0])
    elif fitting:
        yield _several(facts, [root for root, _ in fitting], list(unexpected))
    elif nearest:
        yield _misfit(facts, list(unexpected), nearest)


def _groups(flats: dict[str, TensorInfo], at: str | None) -> dict[str, dict[str, TensorInfo]]:
    """Flat parameters by the mapping that holds them; that under the place which the user named, where one was."""
    groups: dict[str, dict[str, TensorInfo]] = {}
    for key, tensor in flats.items():
        nest = tensor.nest if relative(key, tensor.nest) is not None else ""
        if at is None or nest == at or key.startswith(f"{at}."):
            groups.setdefault(nest, {})[key] = tensor
    return groups


def _roots(at: str, flats: dict[str, TensorInfo], facts: Facts) -> Iterator[tuple[str, dict[str, tuple[str, ...]]]]:
    """Yields places that may be the model's root, each with the flat parameters below it and their modules."""
    paths = {key: place_of(relative(key, at) or key) for key in flats}
    modules = {"", *facts.expected.modules}
    seen = set()
    for depth in range(DEEPEST_ROOT + 1):
        for root in dict.fromkeys(path[:depth] for path in paths.values() if len(path) >= depth):
            below = {key: path[depth:] for key, path in paths.items() if path[:depth] == root}
            if frozenset(below) not in seen and all(".".join(place) in modules for place in below.values()):
                seen.add(frozenset(below))
                yield ".".join(filter(None, (at, *root))), below


def _taken_apart(facts: Facts, flats: dict[str, TensorInfo], root: str, found: list[Layout]) -> Finding:
    at = next(iter({flats[layout.flat].nest for layout in found})) if root else ""
    at = at if all(relative(layout.flat, at) is not None for layout in found) else ""
    own = {layout.flat: (relative(layout.flat, at) or layout.flat) if at else layout.flat for layout in found}
    keys = [key for layout in found for key, _ in layout.parts if key]
    in_the_way = tuple(key for key in keys if key in facts.found.tensors)
    split, filling = _splits(found, own)
    shapes = tuple((key, shape) for layout in found for key, shape in layout.parts if key and len(shape) != 1)
    steps: list[Step] = [Unnest(at)] if at else []
    steps += [Drop(in_the_way, lossless=True)] if in_the_way else []
    steps += [Split(split), *([Drop(filling, lossless=True)] if filling else []), *([Reshape(shapes)] if shapes else [])]
    exact = not any(layout.ends_open for layout in found)
    first = found[0]
    reason = "every length is just that of the model's parameters in their order"
    return Finding(
        CODE,
        "error",
        f"{count(len(found), 'flat parameter')}, as `{first.flat}`, {'holds' if len(found) == 1 else 'hold'} the parameters of "
        f"the model, {len(keys):,} in all, one after the other",
        tuple(layout.flat for layout in found),
        {"root": root, "flat": {layout.flat: [key for key, _ in layout.parts if key] for layout in found[:100]}},
        tuple(example(flats[layout.flat], facts.expected.tensors[layout.parts[0][0]]) for layout in found[:3]),
        "FSDP keeps the parameters of each wrapped module as one vector, and they were saved as they were",
        f"{LOSS_FREE}: {reason}"
        if exact
        else by_permission(CODE, "the ends are filled up to a number of processes that is not told"),
        Sequence(tuple(steps), lossless=exact),
        frozenset(d.mark for d in facts.differences if d.key in {*keys, *own} and d.kind in ("missing", "unexpected", "shape")),
    )


def _splits(
    found: list[Layout], own: dict[str, str]
) -> tuple[tuple[tuple[str, tuple[tuple[str, tuple[int, ...]], ...]], ...], tuple[str, ...]]:
    """What each flat parameter is cut into, vectors all, and the names of what only fills up."""
    rows, filling = [], []
    for layout in found:
        parts: list[tuple[str, tuple[int, ...]]] = []
        for key, shape in layout.parts:
            elements = 1
            for size in shape:
                elements *= size
            name = key or f"{own[layout.flat]}.filling.{len(parts)}"
            filling += [] if key else [name]
            parts.append((name, (elements,)))
        rows.append((own[layout.flat], tuple(parts)))
    return tuple(rows), tuple(filling)


def _several(facts: Facts, roots: list[str], flats: list[str]) -> Finding:
    return Finding(
        CODE,
        "error",
        f"flat parameters of {count(len(roots), 'model')} in the file fit this one: {some(roots)}",
        tuple(flats),
        {"roots": roots},
        (),
        "FSDP keeps the parameters of each wrapped module as one vector, and a teacher and a student lie in one file",
        f'name the one that is meant: at="{roots[0]}"',
        None,
        frozenset(d.mark for d in facts.differences if d.kind == "missing" or d.key in flats),
        ambiguous=True,
    )


def _misfit(facts: Facts, flats: list[str], misfits: list[Misfit]) -> Finding:
    ranges = [misfit.processes for misfit in misfits]
    numbers = range(max(each.start for each in ranges), min(each.stop for each in ranges)) if all(ranges) else range(0)
    first = misfits[0]
    what = (
        f"each of {count(len(misfits), 'flat parameter')} is one of {_number(numbers)} parts, as `{first.flat}`: "
        f"{first.elements:,} of {first.wanted:,} values; the files of the other processes hold the rest"
        if numbers
        else f"{count(len(misfits), 'flat parameter')} of FSDP cannot be taken apart: `{first.flat}` has {first.elements:,} "
        f"values, and the model's parameters there {first.wanted:,}"
    )
    return Finding(
        CODE,
        "error",
        what,
        tuple(misfit.flat for misfit in misfits),
        {
            "processes": [numbers[0], numbers[-1]] if numbers else [],
            "values": {misfit.flat: [misfit.elements, misfit.wanted] for misfit in misfits[:100]},
        },
        (),
        "FSDP keeps the parameters of each wrapped module as one vector, cut into a part for each process",
        "load all parts into the wrapped model as they were saved, and save it with StateDictType.FULL_STATE_DICT"
        if numbers
        else "build the model as it was trained; its parameters have to be those of the file, in number and size",
        None,
        frozenset(d.mark for d in facts.differences if d.key in flats or (d.expected and d.expected.role != "buffer")),
    )


def _number(numbers: range) -> str:
    return f"{numbers[0]:,}" if len(numbers) == 1 else f"{numbers[0]:,} to {numbers[-1]:,}"


RULE = Rule(CODE, detect, page=__doc__ or "")
