"""A repaired checkpoint as a file: safetensors or a torch zip that holds just the model's keys.

Every key is written, tied ones too, each with bytes of its own, so that every reader finds every key. The original is never the
output.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from intact.errors import IntactError
from intact.files.atomic import write_atomically

if TYPE_CHECKING:
    import torch

Format = Literal["safetensors", "torch"]


def write_checkpoint(
    output: str | os.PathLike[str],
    values: Mapping[str, torch.Tensor],
    *,
    source: str | os.PathLike[str],
    format: Format | None = None,  # noqa: A002 - the word of the command
    overwrite: bool = False,
) -> None:
    """Writes a state dict, atomically and durably.

    Args:
        output: The new file.
        values: Key to tensor.
        source: The checkpoint that was read, which must not be overwritten.
        format: By the ending of `output` where not given: `.safetensors`, or torch for any other.
        overwrite: Whether an existing `output` may be replaced.

    Raises:
        IntactError: The output is the source, exists, or cannot be written.
    """
    target, origin = Path(output), Path(source)
    if (
        target.exists()
        and origin.exists()
        and (target.samefile(origin) or (origin.is_dir() and target.resolve().is_relative_to(origin.resolve())))
    ):
        raise IntactError("the output is the checkpoint itself", path=str(target), help="name another file")
    if not target.parent.is_dir():
        raise IntactError("the folder of the output does not exist", path=str(target.parent))
    chosen = format or ("safetensors" if target.suffix == ".safetensors" else "torch")
    state = {key: value.detach().clone(memory_format=_contiguous()) for key, value in values.items()}
    write_atomically(target, lambda path: _write(path, state, chosen), overwrite=overwrite)


def _contiguous() -> torch.memory_format:
    import torch

    return torch.contiguous_format


def _write(path: Path, state: dict[str, torch.Tensor], chosen: Format) -> None:
    if chosen == "safetensors":
        from safetensors.torch import save_file

        save_file(state, path, metadata={"format": "pt"})
    else:
        import torch

        torch.save(state, path)
