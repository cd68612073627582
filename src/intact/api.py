"""The verbs. Each is a pipeline of records and does no work of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from intact.core.report import Report

if TYPE_CHECKING:
    import torch

    Model = torch.nn.Module | Callable[[], torch.nn.Module]

Path = str | os.PathLike[str]


def inspect(path: Path) -> Report:
    """Returns what a checkpoint holds, without reading tensor bytes and without torch."""
    raise NotImplementedError


def read(path: Path) -> Any:
    """Returns what `torch.load` would give, from any container, with nothing run."""
    raise NotImplementedError


def check(path: Path, model: Model | None = None, *, at: str | None = None) -> Report:
    """Returns the report on a checkpoint, and on how it fits a model; neither is changed."""
    raise NotImplementedError


def load_into(model: Model, path: Path, *, allow: Iterable[str] = (), at: str | None = None) -> Report:
    """Loads a checkpoint into a model by the loss-free plan, all or nothing, and reads back."""
    raise NotImplementedError


def repair(
    path: Path,
    output: Path,
    model: Model,
    *,
    allow: Iterable[str] = (),
    at: str | None = None,
    format: Literal["safetensors", "torch"] | None = None,  # noqa: A002 - the word of the command
) -> Report:
    """Writes a corrected copy of a checkpoint that the model loads as it is."""
    raise NotImplementedError


def explain(code: str) -> str:
    """Returns the page of a code: cause, example, fix, look-alike, source."""
    raise NotImplementedError


_ = Mapping
