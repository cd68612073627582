"""The verbs that need no model: they turn one file into another, or hold two side by side."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from intact.converting import Converted
    from intact.differing import Diff
    from intact.salvaging import Salvage

Path = str | os.PathLike[str]


def convert(
    path: Path,
    output: Path,
    *,
    at: str | None = None,
    format: Literal["safetensors", "torch"] | None = None,  # noqa: A002 - the word of the command
    max_shard_bytes: int | None = None,
    overwrite: bool = False,
) -> Converted:
    """Writes a checkpoint of any container as another one: sealed safetensors, a set of them, or a torch archive.

    Values, ties and plain entries are kept. What safetensors has no place for (epoch, arguments) goes into a JSON file beside
    it; objects of foreign classes become mappings that say what they were. It goes tensor by tensor, so memory stays near the
    largest.

    Args:
        path: File, folder or index of any container.
        output: The new file, written whole or not at all.
        at: Place whose tensors alone are taken, by their keys within it (`state_dict`).
        format: By the ending of `output` where not given: `.safetensors`, or torch for any other.
        max_shard_bytes: Most bytes of tensors in one file of a safetensors set; None for one file.
        overwrite: Whether an existing `output` may be replaced.

    Returns:
        What was written, with `.report` on the new checkpoint, read back.

    Raises:
        CannotRead: The input is no checkpoint, or is damaged: then nothing is written (`intact.salvage`).
        IntactError: The output exists or cannot hold a tensor, or there is no such place.
    """
    from intact.converting import convert_checkpoint

    return convert_checkpoint(path, output, at=at, format=format, max_shard_bytes=max_shard_bytes, overwrite=overwrite)


def diff(first: Path, second: Path, *, values: bool = True) -> Diff:
    """Returns how two checkpoints differ: keys, shapes, dtypes, values and other entries; nothing is changed.

    Args:
        first: File, folder or index of any container.
        second: The other one; neither container nor dtype nor names need be those of the first.
        values: Whether values are compared too, one tensor at a time.

    Returns:
        `.same_weights`, `.added`, `.removed`, `.renamed`, `.reshaped`, `.tensors`, `.changed` (what moved most first).

    Raises:
        CannotRead: One of them is no checkpoint that can be read.
    """
    from intact.differing import diff_checkpoints

    return diff_checkpoints(first, second, values=values)


def salvage(path: Path) -> Salvage:
    """Returns every tensor of a damaged checkpoint that is provably whole, and what became of the others; nothing is written.

    Args:
        path: File, folder or index; damaged as it may be. A healthy one gives all its tensors.

    Returns:
        `.tensors` by key, `.restored` where one flipped bit was undone, `.suspicious` for what is there and not to be trusted,
        `.lost` with the reasons, `.judged` with the proof for each key (`digest`, `crc32`, `extent`), and `.report`.

    Raises:
        CannotRead: It is not there, is no checkpoint, or not one name of a tensor is left.
    """
    from intact.salvaging import salvage_from

    return salvage_from(path)
