"""`Module.load_state_dict` with its silent losses told, and a failed one undone and explained.

torch does the loading, and what a correct program computes stays as it is. Before it, names, shapes and dtypes are compared,
which costs next to nothing; only where they differ is anything diagnosed, or the module kept so that it can be put back. Modules
whose tensors are spread over processes are left to torch: asking one for its state would wait for the others.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from intact.core.dtype import dtype_named, holds_every_value
from intact.core.finding import Finding
from intact.core.report import Report
from intact.core.wording import count, some
from intact.guard_files import tell

if TYPE_CHECKING:
    import torch

_DEEPEST_CALLER = 12
"""Frames looked at to see whether intact itself is loading."""

_state = threading.local()


def guarded_load(original: Callable[..., Any], module: torch.nn.Module, state: Any, *args: Any, **kwargs: Any) -> Any:
    """Loads as `torch.nn.Module.load_state_dict` does, and tells what is lost.

    Args:
        original: torch's own method.
        module: The module.
        state: The state dict.
        *args: More for torch (`strict`, `assign`).
        **kwargs: More for torch.

    Returns:
        What torch returns.

    Raises:
        RuntimeError: torch's own, with the cause appended; the module is as it was before.
    """
    if getattr(_state, "busy", False) or not isinstance(state, Mapping) or _is_loading_itself():
        return original(module, state, *args, **kwargs)
    seen = None
    with _busy(), suppress(Exception):  # modules that are made otherwise than torch's (scripted ones) are torch's own affair
        seen = _seen(module, state, assign=bool(kwargs.get("assign", args[1] if len(args) > 1 else False)))
    if seen is None:
        return original(module, state, *args, **kwargs)
    snapshot = _kept(module, seen) if seen.may_fail else None
    try:
        result = original(module, state, *args, **kwargs)
    except BaseException as error:
        with _busy():
            _explain(error, module, state, snapshot)
        raise
    messages: list[str] = []
    report = None
    with _busy(), suppress(Exception):  # the load went through; what is said of it must not stop a training run
        messages, report = _losses(module, state, seen, result)
    if messages:
        tell("\n  ".join(messages), report)
    return result


@contextmanager
def _busy() -> Iterator[None]:
    """Marks that loads of this thread are those of a diagnosis."""
    before = getattr(_state, "busy", False)
    _state.busy = True
    try:
        yield
    finally:
        _state.busy = before


def _is_loading_itself() -> bool:
    """Whether intact is behind the call, which has guarantees of its own."""
    frame: Any = sys._getframe(2)
    for _ in range(_DEEPEST_CALLER):
        if frame is None:
            return False
        name = frame.f_globals.get("__name__", "")
        if name.startswith("intact.") and not name.startswith(("intact.guard", "intact.cli", "intact.__main__")):
            return True
        frame = frame.f_back
    return False


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a comparison of names, shapes and dtypes shows before a load.

    Attributes:
        tensors: The module's own, by key.
        may_fail: Whether torch may raise: keys or shapes differ, or the module has loading code of its own.
        casts: Keys whose values may not survive the module's dtype.
    """

    tensors: Mapping[str, torch.Tensor]
    may_fail: bool
    casts: tuple[str, ...]


def _seen(module: torch.nn.Module, state: Mapping[str, Any], *, assign: bool) -> _Seen | None:
    """Returns what is to be seen of a load; None for modules that are left to torch."""
    import torch

    from intact.model.migration import has_own_loader

    held = dict(_tensors_of(module))
    plain = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer, torch.nn.UninitializedParameter, torch.nn.UninitializedBuffer)
    if any(type(tensor) not in plain for tensor in held.values()) or _is_spread(module):
        return None
    both = [(key, held[key], value) for key, value in state.items() if key in held and isinstance(value, torch.Tensor)]
    differ = len(both) < len(held) or len(both) < len(state) or any(a.shape != b.shape for _, a, b in both if not _is_lazy(a))
    casts = () if assign else tuple(key for key, a, b in both if a.dtype != b.dtype and not _is_exact(b.dtype, a.dtype))
    return _Seen(held, differ or has_own_loader(module), casts)


def _is_lazy(tensor: torch.Tensor) -> bool:
    import torch

    return bool(torch.nn.parameter.is_lazy(tensor))


def _tensors_of(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Key and tensor of everything that the module loads; its own `state_dict` is not asked, which may do anything."""
    from intact.model.state import modules_of, tensors_of

    for path, part in modules_of(module):
        hidden = part._non_persistent_buffers_set
        yield from ((f"{path}.{name}" if path else name, tensor) for name, tensor in tensors_of(part) if name not in hidden)


def _is_spread(module: torch.nn.Module) -> bool:
    return any(type(part).__module__.startswith(("torch.distributed.", "deepspeed.")) for part in module.modules())


def _is_exact(found: torch.dtype, wanted: torch.dtype) -> bool:
    one, other = (dtype_named(str(dtype).removeprefix("torch.")) for dtype in (found, wanted))
    return one is not None and other is not None and holds_every_value(other.name, one.name)


def _kept(module: torch.nn.Module, seen: _Seen) -> Any:
    """The module as it is; None where there is no memory for that."""
    from intact.model.snapshot import Snapshot

    try:
        return Snapshot(module, seen.tensors)
    except (MemoryError, RuntimeError):
        return None


def _explain(error: BaseException, module: torch.nn.Module, state: Mapping[str, Any], snapshot: Any) -> None:
    """Puts the module back, and appends the cause to the message of the error."""
    lines = []
    if snapshot is not None:
        snapshot.restore()
        lines.append("the module is as it was before this call")
    if not isinstance(error, RuntimeError) or len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    report = _report(module, state)
    lines = [*_causes(report.findings if report is not None else ()), *lines]
    if lines:
        error.args = ("\n  ".join([error.args[0] + "\n\nintact:", *lines]),)


def _report(module: torch.nn.Module, state: Mapping[str, Any]) -> Report | None:
    """What there is to say; a diagnosis that itself fails must not stand in the way of a training run."""
    from intact.guard_state import diagnosed

    try:
        return diagnosed(module, state)
    except Exception:  # noqa: BLE001 - the user's hooks run here too
        return None


def _causes(findings: Iterable[Finding]) -> Iterator[str]:
    """Yields the causes that matter, in one line each with what to do in another."""
    for finding in findings:
        if finding.severity == "error":
            yield f"{finding.code}: {finding.headline}"
            if finding.cause:
                yield f"  cause  {finding.cause}"
            yield f"  fix    {fix_of(finding)}"


def fix_of(finding: Finding) -> str:
    """Returns the one line that removes a cause from a program that calls torch itself."""
    plain = finding.step.to_dict() if finding.step is not None else {}
    removed, added = finding.evidence.get("removed", []), finding.evidence.get("added", [])
    if finding.code == "arch/key-prefix" and not finding.evidence.get("inside") and not finding.evidence.get("aside"):
        if len(removed) == 1 and not added:
            return f"state = {{key.removeprefix({removed[0]!r}): value for key, value in state.items()}}"
        if len(added) == 1 and not removed:
            return f"state = {{{added[0]!r} + key: value for key, value in state.items()}}"
    if plain.get("kind") == "unnest" and str(plain.get("at", "")).isidentifier():
        return f"state = state[{plain['at']!r}]"
    if finding.step is not None and finding.step.lossless:
        return "intact.load_into(module, FILE) loads it without loss"
    if finding.step is not None:
        return f"if that is meant: intact.load_into(module, FILE, allow=[{finding.code!r}])"
    return finding.help or f"intact explain {finding.code}"


def _losses(module: torch.nn.Module, state: Mapping[str, Any], seen: _Seen, result: Any) -> tuple[list[str], Report | None]:
    """Returns what a load that went through lost."""
    missing, unexpected = (list(getattr(result, name, ()) or ()) for name in ("missing_keys", "unexpected_keys"))
    skipped = bool(missing or unexpected)
    report = _report(module, state) if skipped or seen.casts else None
    messages = [_skipped(seen, state, missing, unexpected)] if skipped else []
    messages += _causes(finding for finding in report.findings if _is_news(finding)) if report is not None else ()
    return [*messages, *_not_numbers(seen, state)], report


def _is_news(finding: Finding) -> bool:
    """Whether a cause says more than which keys were not loaded: values that changed, or a load that could have been whole."""
    return finding.code.startswith("dtype/") or finding.ambiguous or (finding.step is not None and finding.step.lossless)


def _skipped(seen: _Seen, state: Mapping[str, Any], missing: list[str], unexpected: list[str]) -> str:
    if missing and len(unexpected) == len(state):
        head = f"nothing was loaded: none of the {count(len(seen.tensors), 'key')} of the module is in the state dict"
    elif missing:
        head = f"not loaded, and as before: {some(missing)} ({len(missing):,} of {count(len(seen.tensors), 'key')})"
    else:
        head = "every key of the module was loaded"
    return f"{head}; not used: {some(unexpected)}" if unexpected else head


def _not_numbers(seen: _Seen, state: Mapping[str, Any]) -> Iterator[str]:
    """Yields what is said of learned tensors that are given NaN or infinity; masks and other buffers may well hold them."""
    import torch

    given = {
        key: value.detach()
        for key, value in state.items()
        if isinstance(seen.tensors.get(key), torch.nn.Parameter) and isinstance(value, torch.Tensor) and _is_summable(value)
    }
    if not given or _are_finite(list(given.values())):
        return
    bad = [key for key, value in given.items() if not bool(torch.isfinite(value).all())]
    if bad:
        whole = sum(not bool(torch.isfinite(given[key]).any()) for key in bad)
        more = f"; {count(whole, 'tensor')} hold nothing else" if whole else ""
        yield f"value/nan: {count(len(bad), 'parameter')} of {len(given):,}, as {some(bad)}, hold nan or infinity{more}"


def _is_summable(value: torch.Tensor) -> bool:
    import torch

    plain = type(value) in (torch.Tensor, torch.nn.Parameter) and value.layout == torch.strided and not value.is_quantized
    return plain and not value.is_meta and value.is_floating_point() and value.numel() > 0


def _are_finite(values: list[torch.Tensor]) -> bool:
    """Whether all sums are finite, in one pass over the memory and one wait for each device."""
    import torch

    sums: dict[torch.device, list[torch.Tensor]] = {}
    with torch.no_grad():
        for value in values:
            wide = torch.float64 if value.dtype == torch.float64 else torch.float32
            sums.setdefault(value.device, []).append(value.sum(dtype=wide).to(torch.float64 if wide == torch.float64 else wide))
        return all(bool(torch.stack([s.float() for s in some]).isfinite().all()) for some in sums.values())
