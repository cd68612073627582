"""How much work a call does, counted and never timed: the same figure on every machine, however busy it is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def lines_run(call: Callable[[], object]) -> int:
    """Returns how many lines of Python `call` executes, those of every function below it included."""
    lines = 0

    def tracer(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        call()
    finally:
        sys.settrace(before)
    return lines


def growth(call: Callable[[int], object], size: int) -> float:
    """Returns by what factor the lines grow from `size` to four times `size`: 4 is linear, 16 quadratic."""
    return lines_run(lambda: call(4 * size)) / lines_run(lambda: call(size))
