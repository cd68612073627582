"""A library that code of the model comes from is here in another release, or not at all.

## Cause

The layers of many models are not written by their users: they come from transformers, timm, torchvision or another library, and a
release of it may change what they compute. Only libraries that the model itself reaches are recorded, those of its classes, their
bases, and functions that it keeps or calls; what the training script imports beside it does not count. Another release is
information and counts for nothing against the file. It is a warning where a library that provides a class of the model is missing
and no model was given: then the model cannot be rebuilt here.

## Example

```python
from dataclasses import replace

from safetensors.torch import save_file
from torch import nn

import intact
from intact.core.environment import Distribution
from intact.model.surroundings.environment import capture_environment

net = nn.Linear(4, 2)
library = Distribution("layers-of-somebody", "1.4.0", ("somebody",), classes=("somebody.layers.Net",))
recorded = replace(capture_environment(net), distributions=(library,))
path = "model.safetensors"
save_file(net.state_dict(), path, metadata={"intact.environment": recorded.to_json()})  # as sealed where the library was

report = intact.check(path)
assert report.verdict == "suspect"
```

## Fix

```python
model = nn.Linear(4, 2)  # install the library (`intact env model.safetensors -o requirements.txt`), or have the class elsewhere
report = intact.load_into(model, path)
assert report.verdict == "intact"
original = net.state_dict()
```

## Look-alike

```python
path, model = "same.safetensors", nn.Linear(4, 2)
recorded = capture_environment(net)  # everything that the model comes from is here, in the same release
save_file(net.state_dict(), path, metadata={"intact.environment": recorded.to_json()})
```

## Source

- https://github.com/NVIDIA-NeMo/RL/issues/130
- https://github.com/ecmwf/anemoi-core/issues/741
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from intact.core.finding import Example, Finding
from intact.core.rule import Facts, Rule
from intact.core.wording import count, some
from intact.environments import Line, distribution_lines

CODE = "version/library-differs"

HELP = "`intact env FILE -o requirements.txt` writes what brings the recorded ones back"


def detect(facts: Facts) -> Iterator[Finding]:
    """Yields what is missing, and what may compute something else; nothing where the model's own code is just the same."""
    if facts.environments is None:
        return
    lines = list(distribution_lines(*facts.environments))
    missing = [line for line in lines if line.consequence == "cannot-load"]
    if missing:
        yield _missing(missing, facts.has_model)
    others = [line for line in lines if line.consequence == "may-change-outputs"]
    if others:
        yield _differing(others)


def _missing(lines: Sequence[Line], has_model: bool) -> Finding:
    names = [line.name for line in lines]
    return Finding(
        CODE,
        "info" if has_model else "warning",
        f"{count(len(names), 'library', 'libraries')} that classes of the model came from, {some(names)}, "
        f"{'is' if len(names) == 1 else 'are'} not installed here",
        (),
        _evidence(lines),
        _examples(lines),
        f"{lines[0].name}: {lines[0].reason}",
        HELP,
    )


def _differing(lines: Sequence[Line]) -> Finding:
    first = lines[0]
    more = f", and {len(lines) - 1} more differ" if len(lines) > 1 else ""
    return Finding(
        CODE,
        "info",
        f"saved with {first.name} {first.recorded}, and here it is {first.current}{more}",
        (),
        _evidence(lines),
        _examples(lines),
        "code of the model comes from it, and a release may change what it computes",
        f"if outputs differ: {HELP}",
    )


def _evidence(lines: Sequence[Line]) -> dict[str, dict[str, str]]:
    return {line.name: {"recorded": line.recorded, "current": line.current, "reason": line.reason} for line in lines}


def _examples(lines: Sequence[Line]) -> tuple[Example, ...]:
    return tuple(Example(f"{line.name} {line.recorded}", f"{line.name} {line.current}") for line in lines[:3])


RULE = Rule(CODE, detect, "observe", page=__doc__ or "", needs_model=False)
