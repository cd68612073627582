"""The BatchNorm layers were multiplied into the layers before them when the file was written.

## Cause

For inference, a convolution and the BatchNorm behind it are one affine function: exporters (`fuse()`) put scale and shift into
the weight and a bias, and the BatchNorm is gone. The class for training has the BatchNorm and no bias. What the statistics were
cannot be had back. With permission, each BatchNorm is made neutral and takes the bias as its shift: in eval mode it computes the
same up to half of its `eps`; for training on, it starts anew.

## Example

```python
import torch
from torch import nn

path, model = "fused.pth", nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
trained = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
trained[1].running_var.fill_(4.0)
fused = torch.nn.utils.fusion.fuse_conv_bn_eval(trained[0], trained[1])
torch.save({"0.weight": fused.weight.data, "0.bias": fused.bias.data, **trained[3].state_dict(prefix="3.")}, path)
```

## Fix

```python
import intact

intact.load_into(model.eval(), path, allow=["arch/folded-batchnorm"])
image = torch.randn(1, 3, 8, 8)
assert torch.allclose(model(image), trained(image), atol=1e-4)
path = "unfused.pth"
torch.save(model.state_dict(), path)
```

## Look-alike

```python
path, model = "plain.pth", nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))  # a bias and a BatchNorm, on both sides
torch.save(model.state_dict(), path)
```

## Source

- https://github.com/ultralytics/ultralytics/issues/9374
- https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.fuse_conv_bn_eval.html
"""

from __future__ import annotations

from collections.abc import Iterator

from intact.core.finding import Finding
from intact.core.keys import owner_of
from intact.core.plan import Step
from intact.core.rule import Facts, Rule
from intact.core.tensor import TensorInfo
from intact.core.wording import by_permission, count, example, some
from intact.repairs.fill import Fill
from intact.repairs.rename import Rename
from intact.repairs.sequence import Sequence

CODE = "arch/folded-batchnorm"
_STATISTICS = ("running_mean", "running_var")


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields missing BatchNorm layers, each with a bias in the file for the layer before it that the model has not."""
    missing = {d.key: d.expected for d in facts.of_kind("missing") if d.expected is not None}
    biases = {d.key: d.found for d in facts.of_kind("unexpected") if d.found is not None and d.key.endswith(".bias")}
    pairs = dict(_pairs(facts, missing, biases))
    if not pairs:
        return
    gone = [key for key in missing if owner_of(key) in pairs.values()]
    shifts = {bias: f"{norm}.bias" for bias, norm in pairs.items()}
    ones = [key for key in gone if key.endswith((".weight", ".running_var"))]
    zeros = [key for key in gone if key not in ones and key not in shifts.values()]
    steps: tuple[Step, ...] = (
        Rename(tuple(shifts.items())),
        Fill(tuple((key, missing[key].dtype, missing[key].shape) for key in ones), 1),
        Fill(tuple((key, missing[key].dtype, missing[key].shape) for key in zeros)),
    )
    norms = list(pairs.values())
    verb = "is" if len(norms) == 1 else "are"
    yield Finding(
        CODE,
        "error",
        f"{count(len(norms), 'BatchNorm layer')}, as {some(norms)}, {verb} folded into the layers before: the file has "
        f"{some(list(pairs))} instead",
        (*pairs, *gone),
        {"layers": norms, "biases": list(pairs)},
        tuple(example(biases[bias], missing[shifts[bias]]) for bias in list(pairs)[:3]),
        "the model was fused for inference before it was saved; the statistics of its BatchNorm layers are not in the file",
        "take the file of the training run if there is one; "
        + by_permission(
            CODE, "each BatchNorm becomes neutral and takes the bias as its shift: in eval mode the same function up to eps"
        ),
        Sequence(steps, lossless=False),
        frozenset([*(("unexpected", bias) for bias in pairs), *(("missing", key) for key in gone)]),
    )


def _pairs(facts: Facts, missing: dict[str, TensorInfo], biases: dict[str, TensorInfo]) -> Iterator[tuple[str, str]]:
    """Yields the bias that is too much of a layer, and the path of the BatchNorm that comes next to it and is missing whole."""
    before = ""
    for key, wanted in facts.expected.tensors.items():
        owner = owner_of(key)
        if key.endswith(".weight") and key not in missing and len(wanted.shape) > 1:
            before = owner
        elif key == f"{owner}.weight" and before and len(wanted.shape) == 1 and _is_missing_whole(owner, missing):
            bias = biases.get(f"{before}.bias")
            if bias is not None and bias.shape == wanted.shape:
                yield bias.key, owner
            before = ""


def _is_missing_whole(owner: str, missing: dict[str, TensorInfo]) -> bool:
    return all(f"{owner}.{name}" in missing for name in ("weight", "bias", *_STATISTICS))


RULE = Rule(CODE, detect, page=__doc__ or "")
