"""`intact guard`: a program of somebody's own, run as `python` would run it, with torch's saving and loading guarded."""

from __future__ import annotations

import atexit
import builtins
import os
import signal
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import click

from intact.cli.status import Status


@click.command(
    short_help="Run a training script with its checkpoints guarded.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("-m", "module", is_flag=True, help="SCRIPT is the name of a module, as in `python -m`.")
@click.argument("script", type=click.Path())
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def guard(module: bool, script: str, args: tuple[str, ...]) -> NoReturn:
    """Run a script as `python SCRIPT ARGS` does, with `torch.save`, `torch.load` and `load_state_dict` guarded.

    Files are saved whole or not at all and sealed beside, sealed files are verified before they are loaded, and what a load
    loses is told. The exit status is that of the script.

    \b
    Examples:
      intact guard train.py --epochs 3
      intact guard -m package.train
      torchrun --nproc-per-node 2 -m intact guard train.py
    """
    from intact.guarding import guard as begin

    if not module and not os.path.isfile(script):
        raise click.UsageError(f"there is no script {script!r}")
    begin()
    ended = _Interrupted()
    atexit.register(ended.end)  # the first to be registered is the last to be called
    try:
        _run_module(script, args) if module else _run_script(script, args)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - the script's own, shown as the interpreter shows it
        _show(error)
        if isinstance(error, KeyboardInterrupt):
            ended.yes = True
            sys.exit(Status.INTERRUPTED)
        sys.exit(1)
    sys.exit(0)


def _run_script(script: str, args: tuple[str, ...]) -> None:
    """Runs a file as the main module, with its own folder first in the search path."""
    sys.argv[:] = [script, *args]
    path = os.path.abspath(script)
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.path.dirname(os.path.realpath(script))
    main = ModuleType("__main__")
    main.__dict__.update(__file__=path, __builtins__=builtins, __cached__=None, __loader__=SourceFileLoader("__main__", path))
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    sys.modules["__main__"] = main
    code = compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)
    exec(code, main.__dict__)  # noqa: S102 - the user's own script, named by the user


def _run_module(name: str, args: tuple[str, ...]) -> None:
    import runpy

    sys.argv[:] = [name, *args]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.getcwd()
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _show(error: BaseException) -> None:
    """Prints a traceback that begins in the script, by the hook that the script may have set."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)


class _Interrupted:
    """Ends the process by the signal that interrupted the script, as the interpreter does, after all that runs at exit."""

    yes: Any = False

    def end(self) -> None:
        """Ends it, where there was such a signal."""
        if self.yes and hasattr(signal, "SIGINT"):
            sys.stdout.flush()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
