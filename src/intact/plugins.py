"""Tables of implementations by name: built-in rows plus what other distributions add by entry points.

A row is either the object itself or `"module:attribute"`, imported when it is first asked for, so that a table costs nothing to
define. Names are unique; a second row of the same name is refused, whoever brings it. Tables are read-only outside this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Table(Generic[T]):
    """Implementations of one kind, by name, in a fixed order: built-in rows first, then plugins by name.

    Args:
        group: Entry-point group that adds rows (`intact.renderers`).
        rows: Name to implementation, or to `"module:attribute"`.
    """

    def __init__(self, group: str, rows: Mapping[str, T | str]) -> None:
        self._group = group
        self._rows: dict[str, T | str] = dict(rows)
        self._plugins_known = False

    def __getitem__(self, name: str) -> T:
        """Returns the implementation of that name.

        Raises:
            KeyError: No row has that name.
        """
        if name not in self._rows:
            self._add_plugins()
        row = self._rows[name]
        if isinstance(row, str):
            module, _, attribute = row.partition(":")
            loaded: Any = getattr(import_module(module), attribute)
            self._rows[name] = row = loaded
        return row

    def __iter__(self) -> Iterator[str]:
        """Names of all rows, plugins included."""
        self._add_plugins()
        return iter(tuple(self._rows))

    def __contains__(self, name: object) -> bool:
        """Whether a row has that name."""
        if name not in self._rows:
            self._add_plugins()
        return name in self._rows

    def builtin(self) -> tuple[str, ...]:
        """Returns the names of the rows that intact itself brings, without looking for plugins."""
        return tuple(name for name, row in self._rows.items() if not getattr(row, "__intact_plugin__", False))

    def _add_plugins(self) -> None:
        if self._plugins_known:
            return
        self._plugins_known = True
        from importlib.metadata import entry_points

        for point in sorted(entry_points(group=self._group), key=lambda p: p.name):
            if point.name in self._rows:
                raise ValueError(f"{self._group}: a second row named {point.name!r}, brought by {point.value}")
            self._rows[point.name] = point.load()
