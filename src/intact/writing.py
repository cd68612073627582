"""A repaired checkpoint as a file: safetensors or a torch zip that holds just the model's keys.

Every key is written, tied ones too, each with bytes of its own, so that every reader finds every key. The original is never the
output.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from intact.core.wording import some
from intact.errors import IntactError
from intact.files.atomic import write_atomically

if TYPE_CHECKING:
    import torch

    from intact.core.description import Source

Format = Literal["safetensors", "torch"]

SAFETENSORS = frozenset({
    "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz",
    "float8_e8m0fnu", "complex64", "bool", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8",
})  # fmt: skip
"""Dtypes that safetensors has a name for. Source: `_SIZE` and `_TYPES` in `safetensors/torch.py`, 0.8.0."""


def write_checkpoint(
    output: str | os.PathLike[str],
    values: Mapping[str, torch.Tensor],
    *,
    source: str | os.PathLike[str],
    format: Format | None = None,  # noqa: A002 - the word of the command
    overwrite: bool = False,
    read: Source | None = None,
    versions: Mapping[str, int] | None = None,
) -> None:
    """Writes a state dict, atomically and durably.

    Args:
        output: The new file.
        values: Key to tensor.
        source: The checkpoint that was read, which must not be overwritten.
        format: By the ending of `output` where not given: `.safetensors`, or torch for any other.
        overwrite: Whether an existing `output` may be replaced.
        read: What was read, with all its files, none of which may be overwritten either.
        versions: Versions of the model's classes by path; a torch file keeps them, safetensors has no place for them.

    Raises:
        IntactError: The output is the source, exists, or cannot be written.
    """
    target, origin = Path(output), Path(source)
    if target.exists() and origin.exists() and (_belongs_to(target, origin) or (read and is_part_of(target, read))):
        raise IntactError("the output is the checkpoint itself, or a part of it", path=str(target), help="name another file")
    if not target.parent.is_dir():
        raise IntactError("the folder of the output does not exist", path=str(target.parent))
    chosen = format or ("safetensors" if target.suffix == ".safetensors" else "torch")
    if chosen == "safetensors":
        _refuse_unwritable(values, target)
    state = {key: _own(value) for key, value in values.items()}
    write_atomically(target, lambda path: _write(path, state, chosen, versions or {}), overwrite=overwrite)


def is_part_of(target: Path, source: Source) -> bool:
    """Tells whether an existing file is one of those that a checkpoint was read from: a shard, or the file of another process."""
    place = Path(source.path)
    folder = place if place.is_dir() else place.parent
    return target.exists() and any(file.exists() and target.samefile(file) for file in map(folder.joinpath, source.files))


def _belongs_to(target: Path, origin: Path) -> bool:
    """Whether an existing file is the checkpoint, in its folder, or, as its shards are, beside its index."""
    if target.samefile(origin):
        return True
    if origin.is_dir():
        return target.resolve().is_relative_to(origin.resolve())
    return origin.name.endswith(".index.json") and target.resolve().parent == origin.resolve().parent


def _refuse_unwritable(values: Mapping[str, torch.Tensor], target: Path) -> None:
    """Raises for what safetensors has no form for, before a byte is written."""
    import torch

    wrong = [
        key
        for key, value in values.items()
        if value.layout != torch.strided or value.is_quantized or str(value.dtype)[6:] not in SAFETENSORS
    ]
    if wrong:
        first = values[wrong[0]]
        raise IntactError(
            f"safetensors cannot hold {some(wrong)}: {str(first.layout)[6:]} {str(first.dtype)[6:]}",
            path=str(target),
            help="write a torch file: a name that ends in .pth, or --format torch",
        )


def _own(value: torch.Tensor) -> torch.Tensor:
    """The tensor with just its own bytes, in C order."""
    import torch

    plain = value.detach().resolve_conj().resolve_neg()
    if plain.layout != torch.strided or plain.is_quantized:
        return plain.clone()
    return plain.clone(memory_format=torch.contiguous_format)


def _write(path: Path, state: dict[str, torch.Tensor], chosen: Format, versions: Mapping[str, int]) -> None:
    if chosen == "safetensors":
        from safetensors.torch import save_file

        save_file(state, path, metadata={"format": "pt"})
    else:
        import torch

        whole = OrderedDict(state)
        if versions:
            object.__setattr__(whole, "_metadata", {name: {"version": version} for name, version in versions.items()})
        torch.save(whole if versions else state, path)
