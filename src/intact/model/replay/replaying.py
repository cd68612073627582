"""The recorded inputs through a live model, as they were run when it was saved; and once more in the mode that it is in now.

A model that is put into eval mode for the replay does what it did. Whether its present mode does something else is a question of
its own: it is asked only where modules that were saved in eval mode are in training mode, and their code looks at the mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import FunctionType
from typing import TYPE_CHECKING

from intact.behaviour import OTHER_DEVICE, replayed, without_noise
from intact.core.behaviour import ModeEffect, Replay
from intact.core.probe import Noise, Probe, Trace
from intact.model.modes import Mode
from intact.model.replay.probe_inputs import decoded
from intact.model.replay.probe_state import in_eval_mode, undisturbed, written
from intact.model.replay.probe_trace import traced
from intact.model.replay.probing import device_of, dtype_of
from intact.model.replay.randomness import seed
from intact.model.state import modules_of
from intact.model.survival.methods import is_of_library, methods_of, names_in, reached_from

if TYPE_CHECKING:
    import torch

    from intact.model.replay.probe_state import State


@dataclass(frozen=True, slots=True)
class Rerun:
    """What running the recorded inputs again showed.

    Attributes:
        replay: Beside the recorded run.
        written: Keys of state that the run changed, and the recorded one did not.
        mode: What the model's present mode does; None where it does nothing, or is the recorded one.
        noise: Where two runs of the model part.
    """

    replay: Replay
    written: tuple[str, ...] = ()
    mode: ModeEffect | None = None
    noise: Noise | None = None


def rerun(model: torch.nn.Module, probe: Probe, mode: Mode | None, fill: Callable[[], None], *, filled: bool = False) -> Rerun:
    """Returns what a replay shows; the model is afterwards as it was before.

    Args:
        model: The module itself, not a wrapper.
        probe: What was recorded.
        mode: The mode in which the model was saved.
        fill: Puts the file's values into the model.
        filled: Whether they are there already.

    Raises:
        ValueError: The recorded inputs are malformed.
    """
    flags = {id(module): module.training for _, module in modules_of(model)}
    with undisturbed(model, fill if filled else None) as state:
        before = state.first_look()
        if not filled:
            fill()
            before = state.look()
        in_eval_mode(model)
        now = _run(model, state, probe, probe.seed)
        slack = OTHER_DEVICE if device_of(model).type != probe.device else 0.0
        changed = written(before, state.look())
        refill = fill if changed else None
        new = tuple(key for key in changed if key not in probe.writes)
        shown = Rerun(replayed(probe.trace, now, probe.noisy, probe.unsteady, slack), new, None, probe.noise)
        if shown.replay.status == "different" and probe.noise is None:
            _anew(model, state, refill, {})
            other, noise = without_noise(probe.trace, now, _run(model, state, probe, probe.seed + 1))
            shown = replace(shown, replay=other or shown.replay, noise=noise)
        if now.raised or not (sensitive := _sensitive(model, mode, flags)):
            return shown
        _anew(model, state, refill, flags)
        live = _run(model, state, probe, probe.seed)
    return replace(shown, mode=_effect(now, live, sensitive))


def _run(model: torch.nn.Module, state: State, probe: Probe, number: int) -> Trace:
    arguments = decoded(probe.inputs, device_of(model), (probe.dtype, dtype_of(model) or probe.dtype))
    seed(number)
    state.run()
    return traced(model, arguments)


def _anew(model: torch.nn.Module, state: State, fill: Callable[[], None] | None, flags: Mapping[int, bool]) -> None:
    """Puts the modes back, and the file's values where the run before changed them."""
    if fill is not None:
        state.restore()
        fill()
    for _, module in modules_of(model):
        module.training = flags.get(id(module), False)


def _sensitive(model: torch.nn.Module, mode: Mode | None, flags: dict[int, bool]) -> dict[str, torch.nn.Module]:
    """Modules that are in training mode, were saved in eval mode, and whose code looks at the mode."""
    if mode is None:
        return {}
    other = set(mode.other_mode)
    recorded = {path: mode.training != (path in other) for path, _ in modules_of(model)}
    return {
        path: module
        for path, module in modules_of(model)
        if flags.get(id(module)) and not recorded[path] and (drops(module) or normalises(module) or _asks(type(module)))
    }


def drops(module: torch.nn.Module) -> bool:
    """Tells whether a module in training mode drops at random: layers for that, and those that do it by the way."""
    import torch

    if isinstance(module, torch.nn.modules.dropout._DropoutNd):
        return bool(module.p > 0)
    if isinstance(module, torch.nn.MultiheadAttention):
        return bool(module.dropout > 0)
    if isinstance(module, torch.nn.RNNBase):
        return bool(module.dropout > 0 and module.num_layers > 1)
    rates = (value for name, value in vars(module).items() if "drop" in name and isinstance(value, float))
    return _asks(type(module)) and ("drop" in type(module).__name__.lower() or any(0 < rate <= 1 for rate in rates))


def normalises(module: torch.nn.Module) -> bool:
    """Tells whether a module in training mode normalises with the statistics of the batch, and eval mode with its own."""
    import torch

    kinds = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.modules.instancenorm._InstanceNorm)
    return isinstance(module, kinds) and bool(module.track_running_stats)


def _asks(cls: type) -> bool:
    """Whether the code that runs in `forward` mentions the mode."""
    if is_of_library(cls):
        forward = getattr(cls, "forward", None)
        return isinstance(forward, FunctionType) and "training" in names_in(forward)
    methods = methods_of(cls)
    return any("training" in names_in(method.function) for name in reached_from("forward", methods) for method in methods[name])


def _effect(still: Trace, live: Trace, sensitive: dict[str, torch.nn.Module]) -> ModeEffect | None:
    called = {path: turn for turn, (path, _) in enumerate(live.modules)}
    dropping = tuple(_rows(sensitive, called, drops))
    norms = tuple(_rows(sensitive, called, normalises))
    if live.raised:
        return ModeEffect(dropping, norms, (), 0.0, live.raised)
    result = replayed(still, live)
    if result.status != "different":
        return None
    place, known = result.place, {path for path, _ in (*dropping, *norms)}
    others = ((place.path, place.class_name.rpartition(":")[2]),) if place is not None and place.path not in known else ()
    relative = max((gap.relative for gap in result.gaps), default=0.0)
    return ModeEffect(dropping, norms, () if dropping or norms else others or (("", ""),), relative)


def _rows(
    modules: dict[str, torch.nn.Module], called: dict[str, int], kind: Callable[[torch.nn.Module], bool]
) -> Iterator[tuple[str, str]]:
    """Paths and classes of modules of a kind, in the order in which they were called."""
    paths = sorted((path for path, module in modules.items() if path in called and kind(module)), key=called.__getitem__)
    return ((path, type(modules[path]).__name__) for path in paths)
