"""The behaviour of a model on example inputs, recorded at saving: a run in eval mode, and what the next one would not repeat.

Where something was drawn at random, the model is run again with another seed, and what the two runs do not agree in is marked; a
replay has the seed of the first. The model, the random number generators and everything else are afterwards as they were. That a
model cannot be run is no reason not to save it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from intact.behaviour import noise_of
from intact.core.entries import NoForm
from intact.core.probe import MOST_BYTES, VERSION, Noise, Probe, Trace
from intact.model.making.wrappers import inner_of
from intact.model.replay.fingerprints import fingerprint
from intact.model.replay.probe_cutting import fitted
from intact.model.replay.probe_inputs import Arguments, arguments_of, decoded, encoded
from intact.model.replay.probe_state import State, in_eval_mode, undisturbed, written
from intact.model.replay.probe_tables import tables_of
from intact.model.replay.probe_trace import traced
from intact.model.replay.randomness import marks, may_differ, seed
from intact.model.state import modules_of

if TYPE_CHECKING:
    import torch

    from intact.core.probe import Fingerprint

SEED = 20_231_115
"""Of the run that is recorded."""

OTHER_SEED = 7

SPREAD = "its parts are on several processes, which would have to run it together"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of the attempt to record a model's behaviour.

    Attributes:
        text: The record, "" where there is none.
        why_not: Why there is none.
        noise: Where two runs part.
    """

    text: str = ""
    why_not: str = ""
    noise: Noise | None = None


def probe(model: torch.nn.Module, example_inputs: Any) -> Recorded:
    """Returns the behaviour of a model on example inputs, as a record; the model is not changed.

    Args:
        model: Any module; of a wrapper the module inside is run.
        example_inputs: A tuple of arguments, a mapping of keyword arguments, a pair of both, or a single argument.
    """
    inner = inner_of(model) or model
    if is_spread(inner):
        return Recorded(why_not=SPREAD)
    try:
        inputs = encoded(arguments_of(example_inputs))
    except NoForm as error:
        return Recorded(why_not=f"the inputs cannot be stored: {error}")
    device = device_of(inner)
    with undisturbed(inner) as state:
        in_eval_mode(inner)
        seed(SEED)
        started = marks(inner)
        first = traced(inner, decoded(inputs, device))
        if first.raised:
            return Recorded(why_not=f"`{type(inner).__name__}` raises {first.raised}")
        again = marks(inner) != started or may_differ(inner, device)
        after = state.look()
        noisy, unsteady, noise = _noise(inner, state, first, decoded(inputs, device)) if again else ("", (), None)
    writes = written(state.first_look(), after)
    marked = (noisy, unsteady, noise)
    made = Probe(
        VERSION, SEED, inputs, first, *marked, tables_of(inner), absent_prints(inner), writes[:1000], device.type, dtype_of(inner)
    )
    return _sized(made)


def _noise(model: torch.nn.Module, state: State, first: Trace, arguments: Arguments) -> tuple[str, tuple[str, ...], Noise | None]:
    """What a second run, with another seed, does not agree in with the first."""
    state.restore()
    in_eval_mode(model)
    seed(OTHER_SEED)
    state.run()
    second = traced(model, arguments)
    return noise_of(first, second) if not second.raised else ("", (), None)


def _sized(made: Probe) -> Recorded:
    cut = fitted(made, MOST_BYTES)
    if cut is None:
        size = len(msgspec.json.encode(msgspec.structs.replace(made, trace=Trace(), noisy="")))
        return Recorded(why_not=f"the inputs cannot be stored: the record would have {size:,} bytes, and {MOST_BYTES:,} are kept")
    return Recorded(cut.to_json(), "", made.noise)


def is_spread(model: torch.nn.Module) -> bool:
    """Tells whether a model runs only where all processes that hold a part of it run it."""
    spread = (type(module).__name__ == "FullyShardedDataParallel" for _, module in modules_of(model))
    return any(spread) or any(hasattr(parameter, "device_mesh") for parameter in model.parameters())


def device_of(model: torch.nn.Module) -> torch.device:
    """Returns where a model's first tensor is."""
    import torch

    for _, module in modules_of(model):
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is not None and not tensor.is_meta:
                return tensor.device
    return torch.device("cpu")


def dtype_of(model: torch.nn.Module) -> str:
    """Returns the dtype of a model's first parameter of floating-point numbers, "" where it has none."""
    found = (p.dtype for _, module in modules_of(model) for p in module._parameters.values() if p is not None)
    return next((str(dtype).removeprefix("torch.") for dtype in found if dtype.is_floating_point), "")


def absent_prints(model: torch.nn.Module) -> dict[str, Fingerprint]:
    """Returns fingerprints of the buffers that a model keeps out of its state dict, by key."""
    found: dict[str, Fingerprint] = {}
    for path, module in modules_of(model):
        for name in sorted(module._non_persistent_buffers_set):
            buffer = module._buffers.get(name)
            if buffer is not None and len(found) < 2000:
                found[f"{path}.{name}" if path else name] = fingerprint(buffer)
    return found
