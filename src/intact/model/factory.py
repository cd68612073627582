"""A model from the code that the user named: `FILE.py:FACTORY` or `package.module:FACTORY`.

This is the user's own code and is run because the user named it. Whatever it does wrong becomes one clear line with the place in
the user's file; what it prints goes to stderr, so that a report on stdout stays whole.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from intact.errors import ModelError
from intact.model.state import short

if TYPE_CHECKING:
    import torch

_FORM = "name it as FILE.py:FACTORY or package.module:FACTORY, where FACTORY is a class, a function or a model"


def build_model(spec: str, arguments: Mapping[str, Any] | None = None) -> torch.nn.Module:
    """Returns the model that a factory of the user's builds, or the ready one that was named.

    Args:
        spec: `FILE.py:FACTORY` or `package.module:FACTORY`; the factory may be dotted (`Net.small`).
        arguments: Keyword arguments for the factory.

    Raises:
        ModelError: There is no such file, module or attribute; the code raises; or what comes out is no module.
    """
    place, separator, name = spec.rpartition(":")
    if not separator or not place or not name:
        raise ModelError(f"{spec!r} names no model factory", help=_FORM)
    is_file = place.endswith(".py") or os.sep in place
    folder = Path(place).absolute().parent if is_file else Path.cwd()
    with _importable(folder), contextlib.redirect_stdout(sys.stderr):
        module = _import_file(Path(place)) if is_file else _import_module(place)
        return _built(_attribute(module, name, place), dict(arguments or {}), spec, str(getattr(module, "__file__", None) or ""))


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Makes the neighbours of the user's file importable while it is imported and run, as `python FILE.py` would."""
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(entry)


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ModelError("there is no such file with a model factory", path=str(path), help=_FORM)
    location = str(path.resolve())
    taken = sys.modules.get(path.stem)
    if taken is not None and getattr(taken, "__file__", None) == location:
        return taken
    name = path.stem if taken is None else f"{path.stem}_of_the_user"
    found = importlib.util.spec_from_file_location(name, location)
    if found is None or found.loader is None:
        raise ModelError("this is no Python file", path=str(path), help=_FORM)
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up by name
    try:
        found.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(name, None)
        if isinstance(error, Exception | SystemExit):
            raise _raised(error, f"importing {path.name}", location) from error
        raise
    return module


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(missing + "."):
            raise ModelError(f"there is no module `{missing}`", help=f"{_FORM}; modules are looked for from here on") from error
        raise _raised(error, f"importing {name}", "") from error
    except (Exception, SystemExit) as error:
        raise _raised(error, f"importing {name}", "") from error


def _attribute(module: ModuleType, dotted: str, place: str) -> Any:
    value: Any = module
    for name in dotted.split("."):
        if not hasattr(value, name):
            raise ModelError(
                f"`{place}` has no `{dotted}`", path=str(getattr(module, "__file__", None) or ""), help=_nearest(name, value)
            )
        value = getattr(value, name)
    return value


def _nearest(name: str, value: object) -> str:
    from rapidfuzz import process

    public = [candidate for candidate in dir(value) if not candidate.startswith("_")]
    best = process.extractOne(name, public, score_cutoff=60)
    if best is not None:
        return f"did you mean `{best[0]}`?"
    callables = [candidate for candidate in public if callable(getattr(value, candidate, None))]
    return f"it has {', '.join(f'`{candidate}`' for candidate in callables[:10])}" if callables else _FORM


def _built(factory: Any, arguments: dict[str, Any], spec: str, file: str) -> torch.nn.Module:
    import torch

    if isinstance(factory, torch.nn.Module):
        if arguments:
            raise ModelError(f"{spec} is a model already, and takes no arguments", path=file, help="name its class or a function")
        return factory
    if not callable(factory):
        raise ModelError(f"{spec} is a `{type(factory).__name__}`, not a model or what builds one", path=file, help=_FORM)
    _refuse_arguments(factory, arguments, spec, file)
    try:
        built = factory(**arguments)
    except (Exception, SystemExit) as error:
        raise _raised(error, f"calling {spec}", file) from error
    if not isinstance(built, torch.nn.Module):
        raise ModelError(
            f"{spec} returns a `{type(built).__name__}`, not a torch.nn.Module",
            path=file,
            help="the factory returns the model alone",
        )
    return built


def _refuse_arguments(factory: Any, arguments: dict[str, Any], spec: str, file: str) -> None:
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        name = spec.rpartition(":")[2]
        raise ModelError(
            f"{spec} does not take these arguments: {error}", path=file, help=f"its signature is {name}{signature}"
        ) from error


def _raised(error: BaseException, doing: str, file: str) -> ModelError:
    """What the user's code raised, with the place in the user's own file where there is one."""
    if isinstance(error, SystemExit):
        error_text, hint = f"exits with {error.code!r}", "keep a script's work under `if __name__ == '__main__':`"
    else:
        error_text, hint = (
            f"raises {type(error).__name__}: {short(str(error))}",
            "the model has to be built before it is looked at",
        )
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    own = [frame for frame in frames if file and os.path.realpath(frame.filename) == os.path.realpath(file)]
    last = (own or frames)[-1:]
    at = f"{last[0].filename}:{last[0].lineno}" if last else file
    if isinstance(error, SyntaxError) and error.filename:
        at = f"{error.filename}:{error.lineno}"
    return ModelError(f"{doing} {error_text}", path=at, help=hint)


def _is_machinery(file: str) -> bool:
    return file.startswith("<frozen") or os.path.realpath(file) == os.path.realpath(__file__)
