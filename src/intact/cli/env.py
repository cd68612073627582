"""`intact env`: what was this saved in, what is different here, and how do I get it back?"""

from __future__ import annotations

from pathlib import Path

import click

from intact.cli.options import output_options
from intact.cli.output import Output, say
from intact.cli.status import Status
from intact.core.environment import Environment
from intact.errors import IntactError
from intact.renderers.words import clean


@click.command(short_help="Compare or recreate the environment of a checkpoint.")
@click.argument("file", type=click.Path(), required=False)
@click.option(
    "-o",
    "--output",
    "target",
    metavar="OUT",
    type=click.Path(),
    help="Write the environment so that an installer makes it again: *.txt, *.yml or pylock.toml.",
)
@click.option("--force", is_flag=True, help="Replace OUT where it exists.")
@click.option("--bug-report", is_flag=True, help="Print what maintainers ask for, ready to be pasted.")
@output_options
def env(output: Output, file: str | None, target: str | None, force: bool, bug_report: bool) -> int:
    """Show the environment that a checkpoint was saved in beside this one, and what follows from each difference.

    Without FILE, show this environment. Exit status 1 says that something the model needs is not here.

    \b
    Examples:
      intact env model.safetensors
      intact env model.safetensors -o requirements.txt
      intact env model.safetensors -o pylock.toml
      intact env --bug-report
    """
    if bug_report:
        return _bug_report(file, target)
    here = _load_torch()
    if file is None:
        return _this(output, here, target, force)
    return _beside(output, file, target, force)


def _beside(output: Output, file: str, target: str | None, force: bool) -> Status:
    from intact import environments
    from intact.renderers import environment as renderer

    recorded = environments.recorded_in(file)
    if recorded is None:
        raise IntactError(
            "the checkpoint keeps no record of its environment", path=file, help="`intact.save` writes one; other programs do not"
        )
    current = environments.current_beside(recorded)
    if target is not None:
        _write(recorded, target, force)
    if output.format == "json":
        output.data({**renderer.to_dict(file, recorded, current), "written": target})
    elif output.quiet:
        say(renderer.summary(file, recorded, current))
    else:
        say(renderer.render(file, recorded, current, **output.drawing))
    _told(output, target)
    worst = renderer.worst(environments.compare_environments(recorded, current))
    return Status.NOT_INTACT if worst == "cannot-load" else Status.FINE


def _this(output: Output, torch_is_here: bool, target: str | None, force: bool) -> Status:
    from intact.renderers import environment as renderer

    current = _captured(torch_is_here)
    if target is not None:
        _write(current, target, force)
    if output.format == "json":
        output.data({"schema": 1, "current": renderer.plain(current), "written": target})
    elif output.quiet:
        say(f"torch {current.torch or 'not installed'}, {current.implementation} {current.python}, {current.system}")
    else:
        say(renderer.render_one(current, **output.drawing))
    _told(output, target)
    return Status.FINE


def _captured(torch_is_here: bool) -> Environment:
    from intact.model.surroundings.environment import capture_environment, describe_machine

    return capture_environment(None) if torch_is_here else describe_machine()


def _load_torch() -> bool:
    """Whether torch is here; loaded, it can be asked for its settings and devices."""
    try:
        import torch  # noqa: F401 - loading it is what is wanted
    except ImportError:
        return False
    return True


def _write(environment: Environment, target: str, force: bool) -> None:
    from intact.recreation import write_environment

    write_environment(environment, Path(target), overwrite=force)


def _told(output: Output, target: str | None) -> None:
    """Says what was written and which command reads it; programs read it from the data."""
    from intact.recreation import command_for

    if target is not None and output.format != "json":
        say(f"\nwritten: {clean(target)}, for: {clean(command_for(Path(target)))}")


def _bug_report(file: str | None, target: str | None) -> Status:
    if file is not None or target is not None:
        raise click.UsageError("--bug-report is about this environment: it takes neither FILE nor --output")
    from intact import __version__
    from intact.model.surroundings.distributions import installed
    from intact.renderers import environment as renderer

    here = _load_torch()
    names = ("blake3", "click", "msgspec", "numpy", "packaging", "rapidfuzz", "rich", "safetensors", "transformers", "xxhash")
    versions = {name: found.version if (found := installed(name)) is not None else "" for name in names}
    say(renderer.bug_report(_captured(here), {"intact": __version__, **versions}, _collected() if here else ""))
    return Status.FINE


def _collected() -> str:
    """What torch's own script tells; it starts a dozen programs, which takes some seconds."""
    from torch.utils.collect_env import get_pretty_env_info

    return str(get_pretty_env_info())  # type: ignore[no-untyped-call]
