"""Flat parameters: one vector that holds the parameters of a module one after the other, as FSDP keeps them.

Source:
    torch 2.13 `distributed/fsdp/_flat_param.py`: parameters in the order of `modules()`, a shared one once; with
    `use_orig_params` each begins at a multiple of 16 bytes, and the end is filled up for the number of processes.
    fairscale 0.4 `nn/misc/flatten_params_wrapper.py`: `flat_param_0`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from intact.alignment.affixes import WRAPPERS
from intact.core.description import Description
from intact.core.dtype import dtype_named
from intact.core.tensor import TensorInfo

ALIGNED_BYTES = 16
MOST_PROCESSES = 4096
"""Processes of the largest runs: by as many elements at most is the end of a flat parameter filled up, or is it cut."""

_FLAT = re.compile(r"_?flat_params?(?:_\d+)?")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parameters of one module lie in its flat parameter.

    Attributes:
        flat: Key of the flat parameter.
        parts: Keys of the model and their shapes, in the order in which they lie there; "" and a length for what fills up.
    """

    flat: str
    parts: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def ends_open(self) -> bool:
        """Whether its last part only fills up to a number of processes that the file does not say."""
        return self.parts[-1][0] == ""


@dataclass(frozen=True, slots=True)
class Misfit:
    """A flat parameter that is not what the model's parameters make up.

    Attributes:
        flat: Key of the flat parameter.
        keys: Keys of the model that would lie in it.
        elements: How many values it has.
        wanted: How many the parameters have.
    """

    flat: str
    keys: tuple[str, ...]
    elements: int
    wanted: int

    @property
    def processes(self) -> range:
        """Numbers of equal parts of which it may be one; empty where it is none."""
        if not self.elements:
            return range(0)
        fewest = -(-self.wanted // self.elements)
        most = (self.wanted - 1) // (self.elements - 1) if self.elements > 1 else self.wanted
        return range(max(2, fewest), min(most, MOST_PROCESSES) + 1) if fewest > 1 else range(0)


def is_flat(tensor: TensorInfo) -> bool:
    """Tells whether a tensor calls itself a flat parameter, and is a vector."""
    return len(tensor.shape) == 1 and tensor.layout == "strided" and _FLAT.fullmatch(tensor.key.rpartition(".")[2]) is not None


def place_of(key: str) -> tuple[str, ...]:
    """Returns the path of the module whose parameters a flat parameter holds, without the names of wrappers."""
    return tuple(token for token in key.split(".")[:-1] if token not in WRAPPERS)


def layouts(
    flats: Mapping[str, TensorInfo], places: Mapping[str, tuple[str, ...]], expected: Description
) -> list[Layout | Misfit]:
    """Returns what lies where in each flat parameter.

    Args:
        flats: Flat parameters by key.
        places: Path of the module of each, in the model.
        expected: What the model wants.
    """
    homes = {".".join(place): key for key, place in places.items()}
    held: dict[str, list[TensorInfo]] = {key: [] for key in flats}
    again = {key for group in expected.ties for key in group[1:]}
    for key, tensor in expected.tensors.items():
        home = _home(key, homes)
        if home is not None and tensor.role != "buffer" and key not in again:
            held[home].append(tensor)
    return [_layout(flats[key], held[key]) for key in flats]


def _home(key: str, homes: Mapping[str, str]) -> str | None:
    """The flat parameter of the innermost module that has one and holds a key."""
    path = key
    while path:
        path = path.rpartition(".")[0]
        if path in homes:
            return homes[path]
    return None


def _layout(flat: TensorInfo, tensors: Iterable[TensorInfo]) -> Layout | Misfit:
    rows = [(tensor.key, tensor.shape, tensor.elements) for tensor in tensors]
    wanted, size = sum(elements for *_, elements in rows), flat.elements
    if rows and wanted == size:
        return Layout(flat.key, tuple((key, shape) for key, shape, _ in rows))
    known = dtype_named(flat.dtype)
    unit = ALIGNED_BYTES // known.itemsize_bytes if known and known.itemsize_bytes <= ALIGNED_BYTES else 1
    parts: list[tuple[str, tuple[int, ...]]] = []
    place = 0
    for key, shape, elements in rows:
        if place % unit:
            parts.append(("", (unit - place % unit,)))
            place += unit - place % unit
        parts.append((key, shape))
        place += elements
    if rows and place < size < place + MOST_PROCESSES:
        parts.append(("", (size - place,)))
        place = size
    return (
        Layout(flat.key, tuple(parts))
        if rows and place == size
        else Misfit(flat.key, tuple(key for key, *_ in rows), size, wanted)
    )
