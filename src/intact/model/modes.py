"""Training mode and learning of a model, as a save records them and a rebuilt model gets them back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from intact.core.manifest import Manifest
from intact.model.state import modules_of

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Mode:
    """How a model was left.

    Attributes:
        training: Mode of the root.
        other_mode: Modules whose mode is the other one.
        learning: Whether most parameters require a gradient.
        other_learning: Keys of parameters for which the opposite holds.
    """

    training: bool
    other_mode: tuple[str, ...] = ()
    learning: bool = True
    other_learning: tuple[str, ...] = ()


def mode_in(model: torch.nn.Module) -> Mode:
    """Returns the mode of a live model."""
    learning = {key: parameter.requires_grad for key, parameter in model.named_parameters()}
    most = sum(learning.values()) * 2 >= len(learning)
    return Mode(
        model.training,
        tuple(path for path, module in modules_of(model) if module.training != model.training),
        most,
        tuple(key for key, learns in learning.items() if learns != most),
    )


def mode_of(manifest: Manifest) -> Mode | None:
    """Returns the mode that a checkpoint records; None where it was saved from a state dict."""
    if manifest.training is None:
        return None
    return Mode(manifest.training, manifest.other_mode, manifest.learning, manifest.other_learning)


def set_mode(model: torch.nn.Module, mode: Mode | None) -> None:
    """Puts a model into a mode; modules and parameters that it does not have are passed over."""
    if mode is None:
        return
    other, opposite = set(mode.other_mode), set(mode.other_learning)
    for path, module in modules_of(model):
        module.training = mode.training != (path in other)
    for key, parameter in model.named_parameters():
        if parameter.is_floating_point() or parameter.is_complex():
            parameter.requires_grad_(mode.learning != (key in opposite))
