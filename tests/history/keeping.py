"""Writes the checkpoints of this version into its folder: `python -m tests.history.keeping`, once, before a release.

A folder that is there already is never written again: it holds what that release wrote.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tests.history.models import filled

import intact

HERE = Path(__file__).parent


def keep(folder: Path) -> None:
    """Writes one file, one set and one checkpoint of torch with a seal beside it."""
    folder.mkdir()
    model = filled()
    intact.save(model, folder / "model.safetensors")
    intact.save(model, folder / "set" / "model.safetensors", max_shard_bytes=200)
    (folder / "beside").mkdir()
    torch.save(model.state_dict(), folder / "beside" / "model.pth")
    intact.seal(folder / "beside" / "model.pth")


if __name__ == "__main__":
    keep(HERE / intact.__version__)
