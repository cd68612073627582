"""Two environments side by side: the recorded one and this one, compared by consequence and not by letter.

Nearly every line of an environment differs between two machines, and nearly none of that matters. So each difference says what
follows from it: the model cannot load, its outputs may change, or nothing. What is not known on one side is called not compared.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from intact.containers import open_container
from intact.core.environment import Distribution, Environment, Settings, SourceTree
from intact.core.manifest import ENVIRONMENT
from intact.errors import IntactError

if TYPE_CHECKING:
    from torch import nn

Consequence = Literal["cannot-load", "may-change-outputs", "harmless", "not-compared", "equal"]

CONSEQUENCES: tuple[Consequence, ...] = ("cannot-load", "may-change-outputs", "harmless", "not-compared", "equal")
"""From the gravest to the mildest."""

ABSENT = "not installed"


_PLATFORM = re.compile(r"(?:cpu|xpu|cu[0-9]+|rocm[0-9.]+)?")
"""Local parts of versions that name a platform; any other may stand for changes in the code."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that two environments have in common, or not.

    Attributes:
        name: What it is (`torch`, `cuDNN`, `default dtype`).
        recorded: What it was when the checkpoint was saved.
        current: What it is here, "" where that is not known.
        consequence: What follows from the difference.
        reason: Why, "" where nothing differs.
        kind: Whether it is a distribution, a setting of the program, code of the user, or the rest.
    """

    name: str
    recorded: str
    current: str
    consequence: Consequence
    reason: str = ""
    kind: Literal["machine", "distribution", "setting", "source"] = "machine"


def recorded_in(path: str | os.PathLike[str]) -> Environment | None:
    """Returns the environment that a checkpoint was saved in, None where it keeps no record of it.

    Raises:
        CannotRead: It is no checkpoint that can be read.
        IntactError: Its record is malformed.
    """
    container = open_container(path)
    try:
        return record_of(container)
    except ValueError as error:
        raise IntactError(str(error), path=os.fspath(path), help="the tensors are another matter: `intact check` says") from None
    finally:
        container.close()


def record_of(container: object) -> Environment | None:
    """Returns the environment that an open checkpoint keeps, None where it keeps none.

    A file whose seal was lost may have the record all the same: programs that write it anew copy the metadata.

    Raises:
        ValueError: Its record is malformed.
    """
    manifest = getattr(container, "manifest", None)
    metadata = getattr(container, "_metadata", None)
    text = getattr(manifest, "environment", "") or (metadata.get(ENVIRONMENT, "") if isinstance(metadata, dict) else "")
    return Environment.from_json(text) if isinstance(text, str) and text else None


def current_beside(recorded: Environment, model: nn.Module | None = None) -> Environment:
    """Returns this environment, as far as a recorded one can be compared with it.

    Torch is asked only where it is loaded already: saying what a file is must not wait for it.

    Args:
        recorded: Names the distributions to look for.
        model: Whose own code is looked for as well.
    """
    from intact.model.surroundings.environment import capture_environment, describe_machine, installed_beside

    here = capture_environment(model) if "torch" in sys.modules else describe_machine()
    found = {entry.name: entry for entry in (*here.distributions, *installed_beside(recorded.distributions))}
    return replace(here, distributions=tuple(found.values()))


def environments_of(container: object, model: nn.Module | None) -> tuple[Environment, Environment] | None:
    """Returns the recorded environment of an open checkpoint and this one, None where none is recorded or it cannot be read."""
    try:
        recorded = record_of(container)
    except ValueError:
        return None  # what is wrong with the record is for `intact verify` and `intact env` to say: the weights do not need it
    return (recorded, current_beside(recorded, model)) if recorded is not None else None


def compare_environments(recorded: Environment, current: Environment) -> tuple[Line, ...]:
    """Returns one line for everything that is known on a side, in a fixed order."""
    lines = (
        torch_line(recorded, current),
        *distribution_lines(recorded, current),
        *(_source_line(entry, current) for entry in recorded.sources),
        *_device_lines(recorded, current),
        *_machine_lines(recorded, current),
        *_setting_lines(recorded, current),
    )
    return tuple(line for line in lines if line.recorded or line.current)


def torch_line(recorded: Environment, current: Environment) -> Line:
    """Returns what follows from another torch."""
    if recorded.torch and not current.torch:
        reason = "without torch the values can be read, and no model be built"
        return Line("torch", recorded.torch, ABSENT, "cannot-load", reason, "distribution")
    one, other = recorded.torch, current.torch
    consequence, reason = _by_version(one, other)
    if _public(one) == _public(other) and _both_differ(recorded.torch_commit, current.torch_commit):
        one, other = f"{one} ({recorded.torch_commit[:8]})", f"{other} ({current.torch_commit[:8]})"
        consequence, reason = "may-change-outputs", "built from another commit"
    return Line("torch", one, other, consequence, reason, "distribution")


def distribution_lines(recorded: Environment, current: Environment) -> Iterator[Line]:
    """Yields what follows from another version of each distribution that code of the model comes from."""
    for entry in recorded.distributions:
        if entry.name == "torch":
            continue
        here = current.distribution(entry.name)
        if here is None:
            yield Line(entry.name, _version(entry), ABSENT, *_missing(entry), "distribution")
            continue
        consequence, reason = _by_version(entry.version, here.version)
        if consequence == "equal":
            consequence, reason = _by_commit(entry, here)
        yield Line(entry.name, _version(entry), _version(here), consequence, reason, "distribution")


def _missing(entry: Distribution) -> tuple[Consequence, str]:
    if entry.classes:
        return "cannot-load", f"it provides {entry.classes[0]}"
    return "may-change-outputs", "code of the model calls it"


def _version(entry: Distribution) -> str:
    if not entry.commit:
        return entry.version
    return f"{entry.version} ({entry.commit[:8]}{', changed' if entry.dirty else ''})"


def _by_commit(recorded: Distribution | SourceTree, here: Distribution | SourceTree) -> tuple[Consequence, str]:
    """What follows from another state of code that is kept in a repository."""
    if _both_differ(recorded.commit, here.commit):
        return "may-change-outputs", "another commit"
    if recorded.dirty and here.dirty:
        return "not-compared", "changed since that commit on both sides"
    if recorded.dirty or here.dirty:
        return "may-change-outputs", f"changed since that commit {'when it was saved' if recorded.dirty else 'here'}"
    return "equal", ""


def _source_line(entry: SourceTree, current: Environment) -> Line:
    """What follows from another state of the user's own code, which is known only where the model is at hand."""
    name = entry.modules[0] if entry.modules else "?"
    here = next((tree for tree in current.sources if set(tree.modules) & set(entry.modules)), None)
    if not entry.commit or here is None or not here.commit:
        return Line(name, _state(entry), _state(here) if here else "", "not-compared", "your own code", "source")
    consequence, reason = _by_commit(entry, here)
    return Line(name, _state(entry), _state(here), consequence, f"your own code: {reason}" if reason else "", "source")


def _state(entry: SourceTree) -> str:
    if not entry.commit:
        return "in no git work tree"
    return entry.commit[:8] + (", changed" if entry.dirty else "")


def _device_lines(recorded: Environment, current: Environment) -> Iterator[Line]:
    """What follows from other devices, and from what torch drives them by; nothing where no device was there."""
    if recorded.devices is None or current.devices is None:
        yield Line("devices", _names(recorded.devices), "", "not-compared", "torch was not asked")
        return
    same = set(recorded.devices) == set(current.devices)
    grave = bool(recorded.devices)
    reason = "another device adds in another order" if grave else "the model was saved without one"
    verdict: Consequence = "equal" if same else "may-change-outputs" if grave else "harmless"
    yield Line("devices", _names(recorded.devices), _names(current.devices), verdict, "" if same else reason)
    for name, one, other in (
        ("CUDA", recorded.cuda, current.cuda),
        ("HIP", recorded.hip, current.hip),
        ("cuDNN", recorded.cudnn, current.cudnn),
    ):
        if one or other:
            yield _line(name, one or "none", other or "none", grave, "other kernels" if grave else "nothing was computed with it")
    if recorded.driver or current.driver:
        yield _line("driver", recorded.driver or "none", current.driver or "none", False, "torch brings its own kernels")


def _names(devices: tuple[str, ...] | None) -> str:
    if devices is None:
        return ""
    counts = {name: devices.count(name) for name in devices}
    return ", ".join(name if number == 1 else f"{number} x {name}" for name, number in counts.items()) or "none"


def _machine_lines(recorded: Environment, current: Environment) -> Iterator[Line]:
    python, here = (f"{each.implementation} {each.python}".strip() for each in (recorded, current))
    yield _line("python", python, here, False, "nothing in the checkpoint depends on it")
    yield _line("machine", recorded.machine, current.machine, True, "other processors round sums differently")
    yield _line("CPU capability", recorded.cpu, current.cpu, True, "vectors of another width add in another order")
    yield _line("system", recorded.system, current.system, False, "nothing in the checkpoint depends on it")
    yield _line("libc", recorded.libc, current.libc, False, "torch brings its own mathematics")


_SETTINGS: dict[str, tuple[str, str]] = {
    "default_dtype": ("default dtype", "tensors that name no dtype are made with another"),
    "deterministic": ("deterministic algorithms", "other algorithms are chosen"),
    "cudnn_benchmark": ("cudnn.benchmark", "other algorithms are chosen"),
    "cudnn_deterministic": ("cudnn.deterministic", "other algorithms are chosen"),
    "matmul_precision": ("float32 matmul precision", "products are rounded differently"),
    "cuda_matmul": ("cuda.matmul precision", "products are rounded differently"),
    "cudnn_convolution": ("cudnn.conv precision", "products are rounded differently"),
    "threads": ("threads", "sums are split differently"),
}
_OF_DEVICES = ("cudnn_benchmark", "cudnn_deterministic", "cuda_matmul", "cudnn_convolution")


def _setting_lines(recorded: Environment, current: Environment) -> Iterator[Line]:
    """What follows from other switches of torch; those of a device matter where there was one."""
    if recorded.settings is None:
        return
    for field in fields(Settings):
        name, reason = _SETTINGS[field.name]
        one, other = _value(recorded.settings, field.name), _value(current.settings, field.name)
        matters = field.name not in _OF_DEVICES or bool(recorded.devices)
        yield _line(name, one, other, matters, reason if matters else "the model was saved without a device", "setting")


def _value(settings: Settings | None, name: str) -> str:
    value: Any = getattr(settings, name, "")
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _line(
    name: str, recorded: str, current: str, matters: bool, reason: str, kind: Literal["machine", "setting"] = "machine"
) -> Line:
    if not recorded or not current:
        return Line(name, recorded, current, "not-compared", "not known on both sides", kind)
    if recorded == current:
        return Line(name, recorded, current, "equal", "", kind)
    return Line(name, recorded, current, "may-change-outputs" if matters else "harmless", reason, kind)


def _both_differ(one: str, other: str) -> bool:
    return bool(one and other) and one != other


def _by_version(recorded: str, current: str) -> tuple[Consequence, str]:
    """What follows from another version, as versions are commonly counted: a release of repairs changes no results."""
    if not recorded or not current:
        return "not-compared", "not known on both sides"
    if recorded == current:
        return "equal", ""
    one, other = _public(recorded), _public(current)
    if one == other:
        if all(_PLATFORM.fullmatch(version.partition("+")[2]) for version in (recorded, current)):
            return "harmless", "the same release, built for another platform"
        return "may-change-outputs", "a build of somebody's own"
    if _is_release(one) and _is_release(other) and release_of(one)[:2] == release_of(other)[:2]:
        return "harmless", "a release of repairs"
    here, there = release_of(other), release_of(one)
    return "may-change-outputs", "an older release" if here < there else "a newer release" if here > there else "another release"


def _public(version: str) -> str:
    return version.partition("+")[0]


def release_of(version: str) -> tuple[int, ...]:
    """Returns the numbers that a version begins with: `(2, 13, 0)` for `2.13.0+cpu`."""
    found = re.match(r"(?:\d+!)?(\d+(?:\.\d+)*)", version)
    return tuple(map(int, found[1].split("."))) if found else ()


def _is_release(version: str) -> bool:
    """Whether a version is no preview: previews of one release differ as much as releases do."""
    return re.fullmatch(r"(?:\d+!)?\d+(?:\.\d+)*(?:\.post\d+)?", version) is not None
