"""The environment of this process: versions, devices, settings of torch, and where the code of a model comes from.

It is asked for at every save and every load of a sealed checkpoint, so that nothing slow is done: no device is woken up (after
that a process can no longer fork and use it), no program but git is started, and what cannot change is kept for the life of the
process. Where torch is not loaded, all that needs it stays unknown.
"""

from __future__ import annotations

import platform
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from intact.core.environment import MOST_ENTRIES, Distribution, Environment, Settings, SourceTree
from intact.model.surroundings.distributions import clipped, distribution_of, installed, module_file
from intact.model.surroundings.used_code import Reached, modules_used
from intact.model.surroundings.worktree import state_of

if TYPE_CHECKING:
    from torch import nn

_NVIDIA = Path("/proc/driver/nvidia")
"""Where the driver tells its version and its devices without being woken up. Source: NVIDIA driver README, "/proc"."""


def capture_environment(model: nn.Module | None) -> Environment:
    """Returns the environment of this process, with the code that a model comes from; torch is imported.

    Args:
        model: Whose code is looked for; None for torch alone.
    """
    used = modules_used(model) if model is not None else frozenset[tuple[str, str]]()
    own = type(model)
    distributions, sources = _origins(used | {("torch", "")}, f"{own.__module__}.{own.__qualname__}")
    return replace(_with_torch(), devices=_devices(), settings=_settings(), distributions=distributions, sources=sources)


def describe_machine() -> Environment:
    """Returns what is known without torch: the interpreter, the machine, and which torch is installed."""
    torch = installed("torch")
    return replace(_machine(), torch=torch.version if torch is not None else "")


def installed_beside(recorded: Iterable[Distribution]) -> tuple[Distribution, ...]:
    """Returns what is installed here of the distributions that a record names, in its order."""
    return tuple(found for entry in recorded if (found := installed(entry.name)) is not None)


@lru_cache(maxsize=1)
def _machine() -> Environment:
    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        system=clipped(platform.system()),
        machine=clipped(platform.machine()),
        libc=clipped(" ".join(platform.libc_ver()).strip()),
        driver=_driver(),
    )


@lru_cache(maxsize=1)
def _with_torch() -> Environment:
    import torch

    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return replace(
        _machine(),
        cpu=torch.backends.cpu.get_cpu_capability(),
        torch=clipped(str(torch.__version__)),
        torch_commit=clipped(torch.version.git_version or ""),
        cuda=clipped(torch.version.cuda or ""),
        hip=clipped(torch.version.hip or ""),
        cudnn=str(cudnn) if cudnn else "",
    )


def _driver() -> str:
    try:
        line = (_NVIDIA / "version").read_text("utf-8", "replace").splitlines()[0]
    except (OSError, IndexError):
        return ""
    return next((word for word in line.split() if word[0].isdigit() and "." in word), "")[:40]


def _devices() -> tuple[str, ...]:
    """Names of the accelerators; from the driver's own files where the process has not used one yet."""
    import torch

    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return _cuda_devices()
    return _quiet_devices()


@lru_cache(maxsize=1)
def _cuda_devices() -> tuple[str, ...]:
    import torch

    return tuple(clipped(torch.cuda.get_device_name(number)) for number in range(torch.cuda.device_count()))[:MOST_ENTRIES]


@lru_cache(maxsize=1)
def _quiet_devices() -> tuple[str, ...]:
    import torch

    if torch.version.cuda and (_NVIDIA / "gpus").is_dir():
        return tuple(filter(None, map(_model_of, sorted((_NVIDIA / "gpus").glob("*/information")))))[:MOST_ENTRIES]
    return ("Apple GPU",) if torch.backends.mps.is_available() else ()


def _model_of(file: Path) -> str:
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((clipped(line.partition(":")[2].strip()) for line in lines if line.startswith("Model:")), "")


def _settings() -> Settings:
    import torch

    return Settings(
        default_dtype=str(torch.get_default_dtype()).removeprefix("torch."),
        deterministic=_deterministic(),
        cudnn_benchmark=bool(torch.backends.cudnn.benchmark),
        cudnn_deterministic=bool(torch.backends.cudnn.deterministic),
        matmul_precision=_matmul_precision(),
        cuda_matmul=_precision(torch.backends.cuda.matmul),
        cudnn_convolution=_precision(getattr(torch.backends.cudnn, "conv", torch.backends.cudnn)),
        threads=torch.get_num_threads(),
    )


def _deterministic() -> Literal["off", "warn", "on"]:
    import torch

    if not torch.are_deterministic_algorithms_enabled():
        return "off"
    return "warn" if torch.is_deterministic_algorithms_warn_only_enabled() else "on"


def _matmul_precision() -> str:
    """The older switch; torch refuses to tell it where a newer one was used to set something else."""
    import torch

    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return "mixed"


def _precision(backend: object) -> str:
    """How a backend multiplies float32: by the switch that torch has since 2.9, by the older one before."""
    newer = getattr(backend, "fp32_precision", None)
    if isinstance(newer, str):
        return clipped(newer)
    return "tf32" if getattr(backend, "allow_tf32", False) else "ieee"


@lru_cache(maxsize=256)
def _origins(used: Reached, first: str) -> tuple[tuple[Distribution, ...], tuple[SourceTree, ...]]:
    """Where modules come from: distributions by name, and the user's own files, each with its top-level names and classes.

    The class of the whole model, `first`, stands before its layers.
    """
    distributions: dict[Distribution, set[tuple[str, str]]] = defaultdict(set)
    own: set[tuple[str, str]] = set()
    for module, name in used:
        found = distribution_of(module)
        if found is not None:
            distributions[found].add((module, name))
        elif module in sys.modules:
            own.add((module, name))
    filled = [replace(e, modules=_tops(pairs), classes=_classes(pairs, first)) for e, pairs in distributions.items()]
    return tuple(sorted(filled, key=lambda entry: entry.name.lower()))[:MOST_ENTRIES], _source_trees(own, first)


def _source_trees(own: Iterable[tuple[str, str]], first: str) -> tuple[SourceTree, ...]:
    """The user's own files, those of one top-level module together."""
    by_top: Mapping[str, set[tuple[str, str]]] = defaultdict(set)
    for module, name in own:
        by_top[_top(module)].add((module, name))
    return tuple(_source_tree(top, pairs, first) for top, pairs in sorted(by_top.items()))[:MOST_ENTRIES]


def _source_tree(top: str, pairs: set[tuple[str, str]], first: str) -> SourceTree:
    files = sorted({file.absolute() for module, _ in pairs if (file := module_file(module)) is not None})
    commit, dirty = state_of(tuple(files))
    return SourceTree((top,), _classes(pairs, first), commit, dirty)


def _top(module: str) -> str:
    """The first part of a module's name; that of the program itself is the name it was started by."""
    if module == "__main__":
        module = getattr(getattr(sys.modules["__main__"], "__spec__", None), "name", None) or module
    return clipped(module.partition(".")[0])


def _tops(pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(sorted({_top(module) for module, _ in pairs}))[:MOST_ENTRIES]


def _classes(pairs: Iterable[tuple[str, str]], first: str) -> tuple[str, ...]:
    names = (f"{module}.{name}" for module, name in pairs if name)
    return tuple(map(clipped, sorted(names, key=lambda name: (name != first, name))))[:MOST_ENTRIES]
