"""The guard: torch's own functions replaced by ones that save atomically, seal, verify, and tell what a load loses.

Nothing is imported for it that the program does not import itself: where torch is not there yet, its functions are replaced at
the moment it is, because what a program sets before (threads, devices) counts at that moment. Processes that a guarded one starts
by `multiprocessing` are guarded too.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType, TracebackType
from typing import Any


class Guard:
    """A guard that is on until `stop` or the end of the `with` block; several may be on at once, and the last one ends it."""

    def __init__(self) -> None:
        self._on = True

    def stop(self) -> None:
        """Ends this guard; torch's functions are its own again when no other guard is on."""
        with _lock:
            if not self._on:
                return
            self._on = False
            _guards.discard(self)
            if not _guards:
                _uninstall()

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


_lock = threading.RLock()
_guards: set[Guard] = set()
_replaced: list[tuple[Any, str, Any, Any]] = []


def guard() -> Guard:
    """Makes `torch.save`, `torch.load` and `Module.load_state_dict` atomic, sealed and checked; the program stays as it is.

    A file is saved whole or not at all, and gets a seal beside it (`FILE.seal.json`); a file that has one is verified before it
    is loaded. What `load_state_dict` loses without a word is told by a `CheckpointWarning`, and where it raises, the cause stands
    in the message and the module is as it was.

    Returns:
        The guard, which is on already; `stop()` ends it, and so does the end of a `with` block. Calling it twice is harmless.

    Example:
        >>> intact.guard()
    """
    made = Guard()
    with _lock:
        _guards.add(made)
        if len(_guards) == 1:
            _install()
    return made


def _install() -> None:
    from multiprocessing import spawn

    _replace(spawn, "get_preparation_data", _guarded_preparation)
    if "torch" in sys.modules and hasattr(sys.modules["torch"], "nn"):
        _install_torch()
    else:
        sys.meta_path.insert(0, _finder)


def _install_torch() -> None:
    import torch
    import torch.serialization

    with _lock:
        if not _guards or any(owner is torch.nn.Module for owner, *_ in _replaced):
            return
        save = _replace(torch.serialization, "save", _guarded_save)
        load = _replace(torch.serialization, "load", _guarded_read)
        _replace(torch, "save", lambda original: save if original is save.__wrapped__ else _guarded_save(original))
        _replace(torch, "load", lambda original: load if original is load.__wrapped__ else _guarded_read(original))
        _replace(torch.nn.Module, "load_state_dict", _guarded_load)


def _replace(owner: Any, name: str, wrapped: Callable[[Callable[..., Any]], Any]) -> Any:
    original = getattr(owner, name)
    new = wrapped(original)
    setattr(owner, name, new)
    _replaced.append((owner, name, original, new))
    return new


def _uninstall() -> None:
    """Gives torch its functions back; where somebody replaced ours meanwhile, ours stay under theirs and do nothing."""
    while _replaced:
        owner, name, original, new = _replaced.pop()
        if getattr(owner, name) is new:
            setattr(owner, name, original)
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


def _guarded_save(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def save(obj: object, f: Any, *args: Any, **kwargs: Any) -> None:
        from intact.guard_saving import guarded_save

        if _guards:
            guarded_save(original, obj, f, *args, **kwargs)
        else:
            original(obj, f, *args, **kwargs)

    return save


def _guarded_read(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def load(f: Any, *args: Any, **kwargs: Any) -> Any:
        from intact.guard_reading import verified

        return original(verified(f) if _guards else f, *args, **kwargs)

    return load


def _guarded_load(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def load_state_dict(self: Any, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        from intact.guard_loading import guarded_load

        if _guards:
            return guarded_load(original, self, state_dict, *args, **kwargs)
        return original(self, state_dict, *args, **kwargs)

    return load_state_dict


class _Mark:
    """What a new process of `multiprocessing` unpickles before anything of the program: the guard is on there from then on."""

    def __reduce__(self) -> tuple[Callable[[], Guard], tuple[()]]:
        return guard, ()


def _guarded_preparation(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def get_preparation_data(*args: Any, **kwargs: Any) -> Any:
        data = original(*args, **kwargs)
        if _guards:
            data["intact"] = _Mark()
        return data

    return get_preparation_data


class _AfterTorch(Loader):
    """torch's own loader, after which its functions are replaced."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _install_torch()


class _Finder(MetaPathFinder):
    """Waits for the import of torch, once."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - torch is at the top, and found as ever
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname != "torch":
            return None
        with _lock:
            if self in sys.meta_path:
                sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _AfterTorch(spec.loader)
        return spec


_finder = _Finder()
