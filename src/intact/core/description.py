"""What a container holds or a model wants, in one record, so that comparing never asks where either came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from intact.core.tensor import TensorInfo

Plain = None | bool | int | float | str | tuple["Plain", ...]
"""Values that a report can print as they are."""

_EMPTY: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """One module of a model, live or pickled.

    Attributes:
        path: Dotted path from the root; "" for the root itself.
        class_name: Full name of its class (`torch.nn.modules.linear.Linear`).
        hyperparameters: Its plain attributes that are not state (`in_features`, `eps`), by name.
        lazy_names: Names of buffers and parameters that its class registers only when first used, read from its source.
        children: Names of its direct submodules, in order, those without tensors included.
    """

    path: str
    class_name: str
    hyperparameters: Mapping[str, Plain] = field(default_factory=lambda: MappingProxyType({}))
    lazy_names: frozenset[str] = frozenset()
    children: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extra:
    """One entry of a checkpoint that is no tensor.

    Attributes:
        path: Where it stands (`epoch`, `optimizer.param_groups[0].lr`).
        kind: `int`, `str`, `dict`, … or `object` for a foreign one.
        text: Short form of the value for a person; the class name for an object.
    """

    path: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class ForeignName:
    """One global that a pickle names and intact does not resolve.

    Attributes:
        name: `module.attribute` as written in the file.
        count: How often the pickle refers to it.
        called: Whether unpickling would call it.
        position: Byte position of the first reference, within its pickle.
        place: Which pickle of the file it stands in; "" for the one that holds the checkpoint.
    """

    name: str
    count: int
    called: bool
    position: int
    place: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """Tensors, ties, modules and the rest of one checkpoint or model. No bytes.

    Attributes:
        tensors: By key, in the order of the file or of the model's state dict.
        ties: Groups of keys that are one tensor in memory, each sorted in the order of `tensors`.
        modules: By path; empty where nothing is known of them (a plain state dict).
        extras: Entries that are no tensors, in order.
        foreign: Globals that a pickle names beyond what tensors and plain data need.
        absent: Tensors that the model has and keeps out of its state dict (non-persistent buffers), by key.
        extra_state: Keys of `get_extra_state` entries.
        meaningful_order: Whether the order of `tensors` is the order of definition (False for sorted files).
        metadata: Versions that `state_dict()._metadata` recorded, by module path; empty where it is lost.
        known: Names of classes and functions that a pickle needs for tensors, arrays and plain data.
        recorded: Modules of the model that was sealed, by path; empty for anything but a sealed checkpoint.
    """

    tensors: Mapping[str, TensorInfo] = field(default_factory=dict)
    ties: tuple[tuple[str, ...], ...] = ()
    modules: Mapping[str, ModuleInfo] = field(default_factory=dict)
    extras: tuple[Extra, ...] = ()
    foreign: tuple[ForeignName, ...] = ()
    absent: Mapping[str, TensorInfo] = field(default_factory=dict)
    extra_state: tuple[str, ...] = ()
    meaningful_order: bool = True
    metadata: Mapping[str, int] = field(default_factory=dict)
    recorded: Mapping[str, ModuleInfo] = field(default_factory=dict)
    known: frozenset[str] = frozenset()

    def module_of(self, key: str) -> ModuleInfo | None:
        """Returns the module that owns a key, or None where modules are not known."""
        return self.modules.get(key.rpartition(".")[0])


@dataclass(frozen=True, slots=True)
class Writer:
    """Who wrote a checkpoint, as far as the file tells.

    Attributes:
        program: `torch`, `safetensors`, `lightning`, …; "" where the file does not tell.
        version: Version or range (`>=1.6`, `0.1 to 0.3`); "" where it does not tell.
        evidence: What in the file says so.
    """

    program: str = ""
    version: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Integrity:
    """What checksums a container carries, and how much of it they were held against.

    Attributes:
        kind: `crc32`, `none`, or the name of a digest.
        checked_bytes: Bytes that were read and compared in this run.
    """

    kind: Literal["none", "crc32", "sha256", "xxh3-128", "blake3"] = "none"
    checked_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """One checkpoint on disk, for the head of a report.

    Attributes:
        path: As the user gave it.
        container: Name of the format (`torch-zip`), a row of the table of containers.
        size_bytes: Bytes on disk, all files of a set together.
        files: Files of a set relative to its folder; one name for a single file.
        writer: Who wrote it.
        integrity: What checksums it carries.
    """

    path: str
    container: str = ""
    size_bytes: int = 0
    files: tuple[str, ...] = ()
    writer: Writer = Writer()
    integrity: Integrity = Integrity()
