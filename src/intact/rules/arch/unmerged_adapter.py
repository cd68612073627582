"""The file holds weights and, beside them, what an adapter learned: one without the other is another model.

## Cause

A model was saved while adapters (LoRA) were attached. Each tuned weight is the base plus a scaled product of two small matrices,
and all three are in the file under names of their own. Taking the base alone loads cleanly and has forgotten the tuning. The
scale is often not in the file: it stands in `adapter_config.json`, or as `alpha` among the tensors. Where it is known, the sum is
computed, as new, rounded numbers; where it is not, only the library that made the adapter can merge it.

## Example

```python
import torch
from torch import nn

base, down, up = nn.Linear(8, 6), torch.randn(2, 8), torch.randn(6, 2)
path, model = "tuned.pth", nn.Sequential(nn.Linear(8, 6))
torch.save(
    {
        "0.base_layer.weight": base.weight.data,
        "0.base_layer.bias": base.bias.data,
        "0.lora_A.default.weight": down,
        "0.lora_B.default.weight": up,
        "lora_alpha": 4,
    },
    path,
)
```

Also: arch/key-prefix

## Fix

```python
import intact

intact.load_into(model, path, allow=["arch/unmerged-adapter"])  # base + 4 / 2 * up @ down
assert torch.allclose(model[0].weight, base.weight + 2 * up @ down, atol=1e-6)
path = "merged.pth"
torch.save(model.state_dict(), path)
```

## Look-alike

```python
class Tuned(nn.Module):
    # The model has the adapter too: its matrices are loaded like any others
    def __init__(self):
        super().__init__()
        self.base = nn.Linear(8, 6)
        self.lora_A, self.lora_B = nn.Linear(8, 2, bias=False), nn.Linear(2, 6, bias=False)


path, model = "adapter.pth", Tuned()
torch.save(Tuned().state_dict(), path)
```

## Source

- https://github.com/huggingface/peft/issues/2647
- https://github.com/huggingface/peft/issues/503
- https://arxiv.org/abs/2106.09685
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from math import sqrt

from intact.core.dtype import dtype_named
from intact.core.finding import Finding
from intact.core.plan import Step
from intact.core.rule import Facts, Rule
from intact.core.tensor import TensorInfo
from intact.core.wording import by_permission, count, example, some
from intact.repairs.drop import Drop
from intact.repairs.merge_adapter import Adapter, MergeAdapter, fits
from intact.repairs.rename import Rename
from intact.repairs.sequence import Sequence

CODE = "arch/unmerged-adapter"
_DOWN = re.compile(r"^(?P<owner>.*?)[._]?lora_(?P<part>A|down|embedding_A)(?P<rest>(?:\.[\w-]+)*)$")
_SAID = re.compile("lora_(?:A|down|embedding_A)")
_PARTNER = {"A": "B", "down": "up", "embedding_A": "embedding_B"}
_BASES = (".base_layer.weight", ".weight", ".linear.weight", ".original.weight", ".org_module.weight", ".base.weight")


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields pairs of matrices that belong to a weight that is loaded, all as one cause."""
    if not facts.says(_SAID):
        return
    extra = {(d.found.source or d.key): d.key for d in facts.of_kind("unexpected") if d.found}
    names = _names(facts, extra)
    adapters = list(_adapters(facts, extra, names))
    if not adapters:
        return
    parts = _parts(extra, adapters)
    scaled = _scaled(facts, adapters, extra) if len(parts) <= 3 * len(adapters) else None
    weights = list(dict.fromkeys(row.weight for row in adapters))
    step: Step = MergeAdapter(tuple(scaled)) if scaled else Drop(parts)
    if scaled and not set(parts) <= {key for row in scaled for key in (row.down, row.up, row.alpha)}:
        step, scaled = Drop(parts), None
    if names:
        step = Sequence((Rename(tuple(names.items())), step), lossless=False)
    yield Finding(
        CODE,
        "error",
        f"{count(len(weights), 'weight')} {'has' if len(weights) == 1 else 'have'} an adapter beside "
        f"{'it' if len(weights) == 1 else 'them'} that is not merged: {some(parts)}",
        parts,
        {
            "weights": len(weights),
            "first": weights[0],
            "ranks": sorted({facts.found.tensors[row.down].shape[0] for row in adapters}),
            "scale": sorted({row.scale for row in scaled if not row.alpha}) if scaled else None,
        },
        tuple(example(facts.found.tensors[row.down], facts.expected.tensors[row.weight]) for row in adapters[:3]),
        "the model was saved with its adapter attached; the base weights alone have forgotten what was tuned",
        by_permission(CODE, "the product of the two matrices is added to each weight, with the scale that the file gives")
        if scaled
        else "its scale is not in the file, or it is no plain LoRA: merge it with the library that made it (peft: "
        "merge_and_unload) and save again; " + by_permission(CODE, "the base weights are loaded without what was tuned"),
        step,
        frozenset([*(("unexpected", key) for key in (*parts, *names)), *(("missing", key) for key in names.values())]),
    )


def _names(facts: Facts, extra: dict[str, str]) -> dict[str, str]:
    """Weights and biases that stand inside the adapter's layer, and the names that the model has for them."""
    missing = {d.key: d.expected for d in facts.of_kind("missing")}
    downs = {match["owner"] for source in extra if (match := _DOWN.match(source))}
    names: dict[str, str] = {}
    for source, key in extra.items():
        owner, _, inner = source.rpartition(".")[0].rpartition(".")
        wanted = f"{key.removesuffix(f'.{inner}.' + source.rpartition('.')[2])}.{source.rpartition('.')[2]}"
        target = missing.get(wanted)
        fit = target is not None and facts.found.tensors[key].shape == target.shape
        if fit and owner in downs and not inner.startswith("lora_") and wanted not in names.values():
            names[key] = wanted
    return names


def _adapters(facts: Facts, extra: dict[str, str], names: dict[str, str]) -> Iterator[Adapter]:
    found = {names.get(key, key): tensor for key, tensor in facts.found.tensors.items()}
    by_source = {tensor.source or key: key for key, tensor in found.items()}
    for source, down in extra.items():
        match = _DOWN.match(source)
        if match is None:
            continue
        partner = f"lora_{_PARTNER[match['part']]}{match['rest']}"
        up = extra.get(source[: match.start("part") - len("lora_")] + partner)
        bases = (by_source.get(match["owner"] + end) for end in _BASES)
        weight = next((key for key in bases if key is not None and key in facts.expected.tensors), None)
        if up is None or weight is None or not _are_numbers(found[weight], found[down], found[up]):
            continue
        for transposed in (match["part"] == "embedding_A", _holds_inputs_first(facts, weight)):
            if fits(found[weight].shape, found[down].shape, found[up].shape, transposed=transposed):
                yield Adapter(weight, down, up, transposed=transposed)
                break


def _are_numbers(*tensors: TensorInfo) -> bool:
    """Whether a product of them can be added up: codes of a quantized base cannot, and a rank of zero has no scale."""
    kinds = {known.kind if (known := dtype_named(tensor.dtype)) else "" for tensor in tensors}
    return kinds == {"float"} and all(tensor.layout == "strided" and tensor.elements for tensor in tensors)


def _holds_inputs_first(facts: Facts, weight: str) -> bool:
    owner = facts.expected.module_of(weight)
    return owner is not None and owner.class_name.endswith("Conv1D")


def _parts(extra: dict[str, str], adapters: list[Adapter]) -> tuple[str, ...]:
    """Everything in the file that is a part of these adapters, their numbers and further tensors included."""
    downs = {row.down for row in adapters}
    owners = {match["owner"] for source, key in extra.items() if key in downs and (match := _DOWN.match(source))}
    return tuple(
        key
        for source, key in extra.items()
        if any(source.startswith((f"{owner}.lora_", f"{owner}.alpha", f"{owner}_lora_")) for owner in _above(source, owners))
    )


def _above(source: str, owners: set[str]) -> Iterator[str]:
    cut = len(source)
    while (cut := max(source.rfind(".", 0, cut), source.rfind("_", 0, cut))) > 0:
        if source[:cut] in owners:
            yield source[:cut]


def _scaled(facts: Facts, adapters: list[Adapter], extra: dict[str, str]) -> list[Adapter] | None:
    """The adapters with the factors that the file gives, None where it does not give all, or several change one weight."""
    if len({row.weight for row in adapters}) != len(adapters):
        return None
    said = [rows for rows in facts.settings().values() if any(name.rpartition(".")[2] == "lora_alpha" for name in rows)]
    plain = {name.rpartition(".")[2]: value for rows in said[:1] for name, value in rows.items()}
    patterned = any("_pattern." in name for rows in said for name in rows) or plain.get("use_dora")
    alphas = {value for rows in said for name, value in rows.items() if name.rpartition(".")[2] == "lora_alpha"}
    result = []
    for row in adapters:
        down: TensorInfo = facts.found.tensors[row.down]
        match = _DOWN.match(down.source or row.down)
        own = extra.get(f"{match['owner']}.alpha") if match else None
        if own is not None and facts.found.tensors[own].elements == 1:
            result.append(replace(row, alpha=own))
        elif len(alphas) == 1 and isinstance(alpha := next(iter(alphas)), int | float) and not patterned:
            rank = down.shape[0]
            result.append(replace(row, scale=alpha / (sqrt(rank) if plain.get("use_rslora") is True else rank)))
        else:
            return None
    return result


RULE = Rule(CODE, detect, page=__doc__ or "")
