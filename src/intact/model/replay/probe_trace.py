"""One run of a model, with a fingerprint of what each module was given and gave.

Hooks are registered on every module and taken away again; a module that stands under several paths is known by the first. What
a model calls past its modules (`self.proj.forward`, functions) belongs to the module within which it is called.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from intact.core.probe import ABSENT, MOST_CALLS, CallRecord, Output, Trace
from intact.model.making.references import class_name_of
from intact.model.replay.fingerprints import Fingerprints, fingerprint, text_print
from intact.model.replay.probe_inputs import Arguments
from intact.model.replay.probe_leaves import leaves_of, tensors_in
from intact.model.state import modules_of, short

if TYPE_CHECKING:
    import torch

MOST_VALUE_BYTES = 64 << 10
"""Bytes of one output whose values are kept, and of all together, so that a tolerance can be said exactly."""


def traced(model: torch.nn.Module, arguments: Arguments, *, hooks: bool = True) -> Trace:
    """Returns what a model does with its arguments; what it raises is part of that.

    Args:
        model: Its state may be changed by its own `forward`.
        arguments: Positional and keyword arguments.
        hooks: Whether its modules are looked at, or only what it returns.
    """
    recorder = Recorder()
    args, keywords = arguments
    try:
        if hooks:
            recorder.watch(model)
        returned, raised = model(*args, **keywords), ""
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything, and that is what is asked
        returned, raised = None, f"{type(error).__name__}: {short(str(error), 200)}"
    finally:
        recorder.leave()
    return recorder.trace(() if raised else outputs_of(returned), raised)


def outputs_of(returned: Any) -> tuple[Output, ...]:
    """Returns the leaves of what a model returned."""
    import torch

    found, room = [], MOST_VALUE_BYTES
    for name, leaf in leaves_of(returned, objects=True):
        if not isinstance(leaf, torch.Tensor):
            text = repr(leaf)
            found.append(Output(name, text_print(type(leaf).__name__, text), short(text, 200)))
            continue
        values = values_of(leaf) if leaf.numel() * 8 <= room else ""
        room -= len(values)
        found.append(Output(name, fingerprint(leaf), values))
    return tuple(found)


def values_of(tensor: torch.Tensor) -> str:
    """Returns the values of a tensor as float32 or float64; "" where they would not be the same values."""
    import torch

    plain = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_nested and not tensor.is_meta
    if not plain or tensor.is_complex() or not tensor.numel():
        return ""
    wide = torch.float64 if tensor.dtype == torch.float64 or not tensor.is_floating_point() else torch.float32
    return base64.b64encode(tensor.detach().to("cpu", wide).contiguous().numpy().tobytes()).decode()


class Recorder:
    """Collects calls as they happen."""

    def __init__(self) -> None:
        self._prints = Fingerprints()
        self._modules: dict[tuple[str, str], int] = {}
        self._forms: dict[tuple[str, ...], int] = {}
        self._calls: list[CallRecord] = []
        self._running: list[int] = []
        self._handles: list[Any] = []
        self._cut = False

    def watch(self, model: torch.nn.Module) -> None:
        """Registers hooks on every module."""
        seen: set[int] = set()
        for path, module in modules_of(model):
            if id(module) not in seen:
                seen.add(id(module))
                before, after = self._hooks(path, class_name_of(type(module)))
                with suppress(RuntimeError, AttributeError):  # compiled scripts take no hooks
                    self._handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
                    self._handles.append(module.register_forward_hook(after, with_kwargs=True))

    def leave(self) -> None:
        """Takes the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def trace(self, outputs: tuple[Output, ...], raised: str) -> Trace:
        """Returns what was collected."""
        return Trace(
            outputs, tuple(self._modules), tuple(self._forms), tuple(self._prints.prints), tuple(self._calls), self._cut, raised
        )

    def _hooks(self, path: str, class_name: str) -> tuple[Callable[..., None], Callable[..., None]]:
        key = (path, class_name)

        def before(module: Any, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
            del module
            self._begin(key, {**tensors_in(args), **{f"{name}=": t for name, t in tensors_in(keywords).items()}})

        def after(module: Any, args: Any, keywords: Any, output: Any) -> None:
            del module, args, keywords
            self._end(key, tensors_in(output))

        return before, after

    def _begin(self, key: tuple[str, str], tensors: Mapping[str, torch.Tensor]) -> None:
        if len(self._calls) >= MOST_CALLS:
            self._cut = True
            return
        form, held = self._leaves(tensors)
        parent = self._running[-1] if self._running else ABSENT
        self._running.append(len(self._calls))
        self._calls.append(CallRecord(self._modules.setdefault(key, len(self._modules)), parent, form, held, ABSENT, ()))

    def _end(self, key: tuple[str, str], tensors: Mapping[str, torch.Tensor]) -> None:
        module = self._modules.get(key)
        while self._running and self._calls[self._running[-1]].module != module:
            if not any(self._calls[number].module == module for number in self._running):
                return  # it began when there were too many calls already
            self._running.pop()  # it raised, and its caller caught that
        if self._running:
            number = self._running.pop()
            call, (form, held) = self._calls[number], self._leaves(tensors)
            self._calls[number] = CallRecord(call.module, call.parent, call.inputs, call.given, form, held)

    def _leaves(self, tensors: Mapping[str, torch.Tensor]) -> tuple[int, tuple[int, ...]]:
        if not tensors:
            return ABSENT, ()
        places = tuple(self._prints.place_of(tensor) for tensor in tensors.values())
        return self._forms.setdefault(tuple(tensors), len(self._forms)), places
