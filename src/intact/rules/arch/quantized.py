"""The file holds codes of a quantized model, and the model wants numbers.

## Cause

A quantized weight is stored as small integers, or as floats of eight bits, with scales beside it (`SCB`, `weight_scale`,
`scales`, `absmax`) or packed for a backend (`_packed_params`). The class of the float model has no place for the scales, and
copying the codes alone makes a weight of 127 out of 0.1. Where the scheme is known and the scales are in the file, the numbers
are computed; other files need the class and the library that wrote them.

## Example

```python
import torch
from torch import nn

path, model = "int8.pth", nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
state = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4)).state_dict()
for name in ("0", "1"):
    scale = state[f"{name}.weight"].abs().amax(1)
    state[f"{name}.weight"] = (state[f"{name}.weight"] / scale[:, None] * 127).round().to(torch.int8)
    state[f"{name}.SCB"] = scale
torch.save(state, path)
```

## Fix

```python
import intact

intact.load_into(model, path)  # multiplies each row by its scale
path = "float.pth"
torch.save(model.state_dict(), path)
```

## Look-alike

```python
class Counts(nn.Module):
    # Integers that are no codes: nothing stands beside them that scales them
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(10, dtype=torch.int8))


path, model = "counts.pth", Counts()
torch.save(Counts().state_dict(), path)
```

## Source

- https://github.com/bitsandbytes-foundation/bitsandbytes/issues/411
- https://github.com/huggingface/transformers-bloom-inference/issues/85
- https://github.com/AnswerDotAI/fsdp_qlora/issues/70
- https://github.com/huggingface/transformers/issues/7329
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from intact.core.dtype import dtype_named
from intact.core.finding import Finding
from intact.core.rule import Facts, Rule
from intact.core.tensor import TensorInfo
from intact.core.wording import by_permission, count, example, some
from intact.repairs.dequantize import Dequantize, blocks_fit
from intact.repairs.keep import Keep

CODE = "arch/quantized"
_COMPANION = re.compile(
    r"SCB|(?:weight_|input_|output_)?(?:scale|scales|scale_inv|zero_point|zero_points|zeros|absmax|quant_map|quant_state)(?:\..+)?"
    r"|weight_format|qweight|qzeros|g_idx|_packed_params(?:\..+)?|nested_absmax|nested_quant_map|bnb_quant_state"
)
_SAID = re.compile(r"scale|zero|absmax|quant|SCB|weight_format|qweight|g_idx|_packed_params")
"""What is in some name of every key that the two patterns are about."""
_OF_WEIGHT = re.compile(r"(?:weight|bias)\.(absmax|quant_map|quant_state|nested_absmax|nested_quant_map)(?:\..+)?")


@dataclass(frozen=True, slots=True)
class _Module:
    """One quantized module.

    Attributes:
        weight: Key of its weight.
        companions: Keys that only a quantized module has.
    """

    weight: str
    companions: tuple[str, ...]


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields modules of the file that are quantized where those of the model are not, all as one cause."""
    modules = list(_modules(facts))
    if not modules:
        return
    found, expected = facts.found.tensors, facts.expected.tensors
    known = [(module, scheme) for module in modules if (scheme := _scheme(module, found, expected))]
    if len(known) == len(modules):
        yield _computed(facts, [(module, *scheme) for module, scheme in known])
        return
    marks = {mark for module in modules for mark in _marks(facts, module)}
    lost = [d for d in facts.differences if d.mark in marks and d.kind in ("missing", "shape") and d.expected]
    lost += [d for d in facts.of_kind("dtype") if d.mark in marks and d.expected and not _float(d.found)]
    first = modules[0]
    yield Finding(
        CODE,
        "error",
        _headline(modules, found),
        tuple(dict.fromkeys(key for module in modules for key in (module.weight, *module.companions))),
        {"modules": len(modules), "companions": list(first.companions)},
        tuple(example(found.get(key), expected.get(first.weight)) for key in (first.weight,) if key in found or key in expected),
        "the file was saved from a quantized model; its codes are packed in a way that only the library that made them undoes",
        "build the quantized class and load into that, or take the file of the float model; "
        + by_permission(CODE, f"{count(len(lost), 'tensor')} keep the model's fresh values"),
        Keep(tuple((d.key, d.expected.dtype, d.expected.shape) for d in lost if d.expected)) if lost else None,
        frozenset(marks),
    )


def _headline(modules: list[_Module], found: Mapping[str, TensorInfo]) -> str:
    dtypes = sorted({found[module.weight].dtype for module in modules if module.weight in found})
    of = f", of {' and '.join(dtypes)}" if dtypes else ""
    keys = [companion for module in modules for companion in module.companions]
    return f"{count(len(modules), 'layer')} of the file {'is' if len(modules) == 1 else 'are'} quantized{of}: {some(keys)}"


def _computed(facts: Facts, rows: list[tuple[_Module, str, str]]) -> Finding:
    found, expected = facts.found.tensors, facts.expected.tensors
    modules = [module for module, _, _ in rows]
    step = Dequantize(
        tuple((module.weight, scales, scheme, expected[module.weight].dtype) for module, scales, scheme in rows),
        tuple(key for module, scales, _ in rows for key in module.companions if key != scales),
    )
    return Finding(
        CODE,
        "error",
        _headline(modules, found),
        tuple(key for module in modules for key in (module.weight, *module.companions)),
        {"modules": len(modules), "schemes": sorted({scheme for _, _, scheme in rows})},
        tuple(example(found[module.weight], expected[module.weight]) for module in modules[:3]),
        "the file was saved from a quantized model; a plain class copies the codes as if they were weights",
        "the codes are multiplied by the scales beside them",
        step,
        frozenset(mark for module in modules for mark in _marks(facts, module)),
    )


def _modules(facts: Facts) -> Iterator[_Module]:
    """Yields modules with keys that only a quantized one has, and whose weight the model wants as floating numbers."""
    found, expected = facts.found.tensors, facts.expected.tensors
    unexpected = ({d.key for d in facts.of_kind("unexpected")} if facts.says(_SAID) else set()) | {
        extra.path for extra in facts.found.extras if "_packed_params" in extra.path
    }
    groups: dict[str, list[str]] = {}
    for key in unexpected:
        if (weight := _weight_of(key, expected)) and _float(expected[weight]):
            groups.setdefault(weight, []).append(key)
    for weight in expected:
        if weight in groups and (weight not in found or not _float(found[weight]) or found[weight].dtype.startswith("float8")):
            yield _Module(weight, tuple(sorted(groups[weight])))
        elif weight in found and found[weight].layout == "quantized" and _float(expected[weight]):
            yield _Module(weight, ())


def _weight_of(key: str, expected: Mapping[str, TensorInfo]) -> str:
    """Returns the weight that a key would describe, "" where it is none of a quantized module."""
    parts = key.split(".")
    for cut in range(1, min(len(parts), 4) + 1):
        module, rest = ".".join(parts[:-cut]), ".".join(parts[-cut:])
        weight = f"{module}.weight" if module else "weight"
        if weight in expected and (_COMPANION.fullmatch(rest) or _OF_WEIGHT.fullmatch(rest)):
            return weight
    return ""


def _scheme(module: _Module, found: Mapping[str, TensorInfo], expected: Mapping[str, TensorInfo]) -> tuple[str, str] | None:
    """Returns the key of the scales and how they are used, None where that is not known."""
    weight = found.get(module.weight)
    if weight is None or weight.shape != expected[module.weight].shape:
        return None
    if weight.layout == "quantized":
        return ("", "quantized")
    ends = {key.rpartition(".")[2]: key for key in module.companions if key in found}
    if weight.dtype == "int8" and "SCB" in ends and found[ends["SCB"]].shape == weight.shape[:1]:
        return (ends["SCB"], "rows")
    scales = [ends[name] for name in ("weight_scale_inv", "weight_scale", "scale_inv", "scale") if name in ends]
    zeros = any("zero" in name for name in ends)
    if (
        len(scales) == 1
        and not zeros
        and weight.dtype in ("int8", "float8_e4m3fn", "float8_e5m2")
        and blocks_fit(weight, found[scales[0]])
    ):
        return (scales[0], "blocks")
    return None


def _marks(facts: Facts, module: _Module) -> Iterator[tuple[str, str]]:
    own = {module.weight, f"{module.weight.removesuffix('weight')}bias", *module.companions}
    for difference in facts.differences:
        if difference.key in module.companions or (difference.key in own and difference.kind != "unexpected"):
            yield difference.mark


def _float(tensor: TensorInfo | None) -> bool:
    known = dtype_named(tensor.dtype) if tensor is not None else None
    return known is not None and known.kind == "float"


RULE = Rule(CODE, detect, page=__doc__ or "")
