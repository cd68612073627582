"""The command's front door."""

from __future__ import annotations

import click


@click.group()
def main() -> None:
    """Save a PyTorch model and get the same model back, or be told exactly why not."""
