"""Verified values straight into the memory of a model, where nothing has to be decided any more.

A sealed checkpoint whose every byte was held against its digest, and that fits a model as it is, can only be copied: there is no
plan to carry out and no loading code of the model's own to ask. So no copy of the old values is kept and nothing is compared
afterwards; what could fail is over before the first byte is written, and Ctrl-C waits until the last one is.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from intact.core.container import Container
from intact.diagnosis import Diagnosis
from intact.model.migration import has_own_loader
from intact.model.state import memory_of, modules_of, state_of, tensors_of

if TYPE_CHECKING:
    import torch


def destinations_of(model: torch.nn.Module, diagnosis: Diagnosis) -> dict[str, torch.Tensor] | None:
    """Returns the model's own tensors by the key under which their values are read, where copying is all there is to do.

    Args:
        model: The module.
        diagnosis: Of a checkpoint whose bytes were verified.

    Returns:
        Each memory once; None where the model's own loading code, a plan, or the kind of a tensor asks for more than copying.
    """
    import torch

    if diagnosis.plan.steps or diagnosis.open or has_own_loader(model):
        return None
    final, state = diagnosis.final.tensors, state_of(model)
    registered = {id(tensor) for _, module in modules_of(model) for _, tensor in tensors_of(module)}
    found: dict[object, tuple[str, torch.Tensor]] = {}
    for key, tensor in state.items():
        planned = final.get(key)
        if planned is None or planned.placement != "copy" or not isinstance(tensor, torch.Tensor) or id(tensor) not in registered:
            return None
        if not _is_plain(tensor) or planned.shape != tuple(tensor.shape) or planned.dtype != str(tensor.dtype)[6:]:
            return None
        found.setdefault(memory_of(tensor), (planned.source, tensor))
    return dict(found.values()) if len(state) == len(final) else None


def copy_verified(container: Container, destinations: Mapping[str, torch.Tensor]) -> None:
    """Copies values into tensors of a model, all of them.

    Args:
        container: Its bytes were verified.
        destinations: Where the value of each key goes.
    """
    import torch

    ordered = [key for key in container.describe().tensors if key in destinations]
    values = _values(container, {key: destinations[key] for key in ordered})
    with uninterrupted(), torch.no_grad():
        for key, value in values.items():
            destinations[key].copy_(value)


def _values(container: Container, destinations: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The values by key; where all stand in one file as they are in memory, as views of one tensor over that file."""
    import torch

    from intact.reading import read_values

    runs = list(getattr(container, "sealed_runs", tuple)()) if sys.byteorder == "little" else []
    if len(runs) != 1 or runs[0].name:
        return read_values(container, destinations)
    ranges = {key: (begin, end) for key, begin, end in runs[0].ranges}
    view = runs[0].file.view(0, runs[0].file.size_bytes)
    fits = all(
        key in ranges
        and ranges[key][0] % tensor.element_size() == 0
        and ranges[key][1] - ranges[key][0] == tensor.nbytes
        and tensor.nbytes
        for key, tensor in destinations.items()
    )
    if not fits or view.readonly:
        return read_values(container, destinations)
    whole = torch.frombuffer(view, dtype=torch.uint8)
    return {key: whole[slice(*ranges[key])].view(tensor.dtype).view(tensor.shape) for key, tensor in destinations.items()}


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether a copy into it is a copy of bytes: dense, with memory of its own under each element, of no other class."""
    import torch

    kinds = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
    dense = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_nested and not tensor.is_meta
    return type(tensor) in kinds and dense and 0 not in tensor.stride() and not tensor.is_conj() and not tensor.is_neg()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Keeps Ctrl-C waiting until the block is done, and raises it then; only the main thread ever gets it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[tuple[int, FrameType | None]] = []
    before: Any = signal.getsignal(signal.SIGINT)
    if before is None:  # set by code outside of Python, which cannot be put back
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: pressed.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed and callable(before):
        before(*pressed[0])
