"""The command's front door: its verbs, and what happens when something goes wrong outside of them.

Only click and the records are imported here; torch, numpy and rich come with the work that needs them.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from intact import __version__
from intact.cli.completion import VARIABLE
from intact.cli.output import aside
from intact.cli.status import MEANING, Status

VERBS = (
    "inspect", "check", "repair", "convert", "salvage", "diff", "scan", "audit", "verify", "seal", "guard", "env", "explain",
    "completion",
)  # fmt: skip
"""The commands, in the order of the help; each is in a module of its name, imported when it is asked for."""


class Command(click.Group):
    """The group, with our own words for an interruption and output that no encoding can stop."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Returns the names of the commands."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Returns a command, None where there is none of that name."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"intact.cli.{cmd_name}"), cmd_name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Returns the command that the arguments name, or fails with the nearest one."""
        name = args[0]
        if name not in VERBS and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, VERBS)
            ctx.fail(f"No such command {name!r}." + (f" Did you mean {' or '.join(near)}?" if near else ""))
        return super().resolve_command(ctx, args)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs the command; never returns in standalone mode."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        variable = complete_var or VARIABLE
        if not standalone_mode:
            return super().main(args, prog_name or "intact", variable, standalone_mode=False, **extra)
        try:
            sys.exit(super().main(args, prog_name or "intact", variable, standalone_mode=False, **extra) or 0)
        except click.Abort:
            aside("interrupted; nothing was changed")
            sys.exit(Status.INTERRUPTED)
        except click.ClickException as error:
            error.show()
            sys.exit(Status.COULD_NOT_LOOK)


_EPILOG = "\b\nExit status:\n" + "\n".join(f"  {status.value:<4} {meaning}" for status, meaning in MEANING.items())


@click.group(cls=Command, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", prog_name="intact", message="%(prog)s %(version)s")
def main() -> None:
    """Save a PyTorch model and get the same model back, or be told exactly why not."""
