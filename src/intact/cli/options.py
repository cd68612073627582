"""Options that several commands share, and what their values may be."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from intact.cli.output import Output
from intact.cli.progress import shown_progress
from intact.core.codes import CODES
from intact.core.report import VERDICTS
from intact.errors import IntactError

if TYPE_CHECKING:
    import torch

    TextType = click.ParamType[str]
else:
    TextType = click.ParamType  # generic since click 8.3, and 8.1 is enough for us

Command = Callable[..., int]
F = TypeVar("F", bound=Callable[..., Any])


class CodeType(TextType):
    """A code, or its name without the family where only one code has that name."""

    name = "code"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the whole code, or fails with the nearest ones."""
        text = str(value)
        if text in CODES:
            return text
        named = [code for code in CODES if code.partition("/")[2] == text]
        if len(named) == 1:
            return named[0]
        near = named or _nearest(text)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; `intact explain` lists all codes"
        raise click.BadParameter(f"there is no code {text!r}{hint}", ctx, param)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:  # noqa: ARG002 - click's
        """Returns the codes that begin with what is typed."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(code) for code in CODES if code.startswith(incomplete)]


class FormatType(TextType):
    """A renderer: those of intact without a search, those of plugins when one is named."""

    name = "format"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 - click's
        """Returns the built-in names."""
        from intact.renderers import RENDERERS

        return f"[{'|'.join(RENDERERS.builtin())}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the name, where there is such a renderer."""
        from intact.renderers import RENDERERS

        if value not in RENDERERS:
            raise click.BadParameter(f"there is no format {value!r}; there are {', '.join(RENDERERS)}", ctx, param)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:  # noqa: ARG002 - click's
        """Returns the formats that begin with what is typed."""
        from click.shell_completion import CompletionItem

        from intact.renderers import RENDERERS

        return [CompletionItem(name) for name in RENDERERS if name.startswith(incomplete)]


def output_options(command: Command) -> Callable[..., None]:
    """Gives a command the options of every output, and turns its errors into messages and its result into the exit status."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON: the same as --output-format json.")
    @click.option("--output-format", type=FormatType(), default="text", show_default=True, help="How the report is written.")
    @click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        help="When to use colours; auto follows NO_COLOR, FORCE_COLOR and the terminal.",
    )
    @click.option("-q", "--quiet", is_flag=True, help="Print one line in place of the report.")
    @functools.wraps(command)
    def run(as_json: bool, output_format: str, color: Any, quiet: bool, **given: Any) -> None:
        output = Output("json" if as_json else output_format, color, quiet)
        try:
            with shown_progress(quiet=quiet):
                status = command(output, **given)
        except IntactError as error:
            status = output.failure(error)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - the last place before a traceback
            status = output.accident(error)
        click.get_current_context().exit(int(status))

    return run


def model_source_options(*, required: bool) -> Callable[[F], F]:
    """Returns what gives a command the options that name a model."""

    def decorate(command: F) -> F:
        for option in reversed(
            (
                click.option(
                    "--model",
                    metavar="SPEC",
                    required=required,
                    help="The model it is for: FILE.py:FACTORY or package.module:FACTORY. This is your own code, and it is run.",
                ),
                click.option(
                    "--model-args",
                    metavar="JSON",
                    callback=_arguments,
                    help="Keyword arguments for the factory, as a JSON object.",
                ),
            )
        ):
            command = option(command)
        return command

    return decorate


def model_options(*, required: bool) -> Callable[[F], F]:
    """Returns what gives a command the options that name a model and the place of its weights."""

    def decorate(command: F) -> F:
        for option in reversed(
            (
                click.option("--at", metavar="PLACE", help="Place in the file that holds the weights, where several fit."),
                click.option(
                    "--allow",
                    metavar="CODE",
                    multiple=True,
                    type=CodeType(),
                    help="Accept what the repair of CODE loses. May be given several times.",
                ),
            )
        ):
            command = option(command)
        return model_source_options(required=required)(command)

    return decorate


def factory_of(model: str | None, arguments: Mapping[str, Any] | None) -> Callable[[], torch.nn.Module] | None:
    """Returns a function that builds the model the user named; None where none was named."""
    if model is not None:
        return model_factory(model, arguments)
    if arguments is not None:
        raise click.UsageError("--model-args needs --model")
    return None


def model_factory(model: str, arguments: Mapping[str, Any] | None) -> Callable[[], torch.nn.Module]:
    """Returns a function that builds the model the user named, when it is called."""

    def built() -> torch.nn.Module:
        from intact.model.factory import build_model

        return build_model(model, arguments)

    return built


FAIL_ON = click.Choice(VERDICTS[1:])
"""Verdicts that a check can be told to fail on."""


def _arguments(ctx: click.Context, param: click.Parameter, value: str | None) -> Mapping[str, Any] | None:
    if value is None:
        return None
    try:
        arguments = json.loads(value)
    except ValueError as error:
        raise click.BadParameter(f"no JSON: {error}", ctx, param) from error
    if not isinstance(arguments, dict):
        raise click.BadParameter("must be a JSON object, such as '{\"width\": 64}'", ctx, param)
    return arguments


def _nearest(text: str) -> list[str]:
    from difflib import get_close_matches

    names = {code.partition("/")[2]: code for code in CODES}
    near = get_close_matches(text, CODES, 3, 0.6)
    return near or [names[name] for name in get_close_matches(text.rpartition("/")[2], names, 3, 0.6)]
