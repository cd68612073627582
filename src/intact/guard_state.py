"""A state dict in memory as a container, so that it is diagnosed by the same rules as a file.

Bytes are looked at only where a rule asks for the figures of a cast; a tensor of a GPU is copied for that, one at a time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from intact.core.container import Storage, TensorRecord
from intact.core.description import Description, Extra, Source
from intact.core.report import Report, Target
from intact.core.rule import Facts
from intact.diagnosis import diagnose
from intact.errors import CannotRead

if TYPE_CHECKING:
    import torch

_DEEPEST = 8
_MOST = 200_000
"""Levels and entries that are followed; a state dict has one level, a training checkpoint three."""


def diagnosed(module: torch.nn.Module, state: Mapping[str, Any]) -> Report:
    """Returns the report on a state dict and the module it is given to; neither is changed.

    Raises:
        ModelError: The module's own `state_dict` raises.
    """
    from intact.model.expectation import expect
    from intact.model.migration import has_own_loader, migrate
    from intact.rules import RULES
    from intact.survey import cast_loss

    container = LiveState(state)
    found, expected = container.describe(), expect(module)
    own = has_own_loader(module)
    facts = Facts(
        found,
        expected,
        (),
        found,
        measure=lru_cache(maxsize=None)(lambda source, dtype: cast_loss(container, source, dtype)),
        migrate=lambda description: migrate(module, description) if own else None,
    )
    result = diagnose(facts, RULES)
    target = Target(type(module).__name__, len(expected.tensors))
    return Report(container.source, target, result.findings, result.plan, found=found, expected=expected)


class LiveState:
    """Tensors of a nesting of mappings and sequences, by path, as containers name them.

    Args:
        state: It is not changed.
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = state
        self._nests: dict[str, str] = {}
        self._tensors: dict[str, torch.Tensor] = {}
        self._extras: list[Extra] = []
        self._collect()
        self.source = Source("the state dict", "memory", 0)

    def _collect(self) -> None:
        import torch

        for path, nest, value in _leaves("", self._state, 0):
            if isinstance(value, torch.Tensor):
                self._tensors[path], self._nests[path] = value, nest
            else:
                self._extras.append(Extra(path, type(value).__name__, str(value)[:80] if isinstance(value, int | float) else ""))
            if len(self._tensors) + len(self._extras) > _MOST:
                return

    def describe(self) -> Description:
        """Returns what it holds."""
        from intact.model.entries import is_extra_state
        from intact.model.expectation import tensor_info
        from intact.model.state import ties_of

        infos = {k: replace(tensor_info(k, t), nest=self._nests[k], source=k, lazy=False) for k, t in self._tensors.items()}
        versions = getattr(self._state, "_metadata", None)
        rows = versions.items() if isinstance(versions, Mapping) else ()
        return Description(
            tensors=infos,
            ties=ties_of(self._tensors),
            extras=tuple(extra for extra in self._extras if not is_extra_state(extra.path)),
            extra_state=tuple(str(key) for key in self._state if is_extra_state(str(key))),
            metadata={str(p): r["version"] for p, r in rows if isinstance(r, Mapping) and isinstance(r.get("version"), int)},
        )

    def objects(self) -> Any:
        """Returns the state dict."""
        return self._state

    def record(self, key: str) -> TensorRecord:
        """Returns a tensor as it would stand in a file: contiguous, alone in its storage."""
        from intact.model.expectation import tensor_info

        tensor = self._tensors[key]
        info = tensor_info(key, tensor)
        strides, step = [], 1
        for size in reversed(info.shape):
            strides.append(step)
            step *= size
        storage = Storage(key, info.dtype, tensor.numel() * tensor.element_size(), byteorder=sys.byteorder)
        return TensorRecord(storage, info.dtype, info.shape, tuple(reversed(strides)), layout=info.layout)

    def storage_bytes(self, storage: Storage) -> memoryview:
        """Returns the bytes of a tensor.

        Raises:
            CannotRead: It has none.
        """
        import torch

        tensor = self._tensors[storage.name].detach()
        if tensor.is_meta:
            raise CannotRead(f"`{storage.name}` is on the meta device and has no values")
        plain = tensor.resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
        return memoryview(plain.view(torch.uint8).numpy())  # type: ignore[arg-type]

    def close(self) -> None:
        """Does nothing: the tensors are somebody else's."""


def _leaves(nest: str, value: Any, depth: int) -> Iterator[tuple[str, str, Any]]:
    """Yields path, path of what holds it, and value."""
    if isinstance(value, Mapping):
        members = [(f"{nest}.{name}" if nest else str(name), member) for name, member in value.items()]
    else:
        members = [(f"{nest}[{place}]", member) for place, member in enumerate(value)]
    for path, member in members:
        if isinstance(member, Mapping | list | tuple) and depth < _DEEPEST and len(member) <= _MOST:
            yield from _leaves(path, member, depth + 1)
        else:
            yield path, nest, member
