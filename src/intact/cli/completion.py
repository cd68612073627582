"""`intact completion`: the script that lets a shell complete the command."""

from __future__ import annotations

import click

from intact.cli.output import say

VARIABLE = "_INTACT_COMPLETE"


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands, options and codes in SHELL.

    \b
    Examples:
      intact completion bash > ~/.local/share/bash-completion/completions/intact
      intact completion zsh > ~/.zfunc/_intact
      intact completion fish > ~/.config/fish/completions/intact.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click has no completion for {shell}")
    say(kind(ctx.find_root().command, {}, "intact", VARIABLE).source())
