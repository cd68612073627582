"""One recognised cause in one checkpoint, with its evidence and perhaps a step that removes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from intact.core.plan import Step

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Example:
    """One line of evidence: what was found beside what was expected.

    Attributes:
        found: Key, dtype and shape in the file, as text; "" where there is none.
        expected: The same in the model.
    """

    found: str = ""
    expected: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause, however many keys it touches.

    Attributes:
        code: Permanent name, `family/kebab-name`.
        severity: `error` (the load is wrong or fails), `warning` (works, probably not meant), `info`.
        headline: Lower case, no full stop, true when read alone, with the numbers and a real key.
        keys: Every key it is about, in the order of the description.
        evidence: Figures and names as plain data.
        examples: Found beside expected, at most three are printed.
        cause: What happened to the user.
        help: What to do; the only part that proposes.
        step: What removes it, where something does.
        explains: Marks of the differences it accounts for.
        incidental: Whether it is left out of the report where something graver stands in the way of loading: its step belongs to
            the plan, and naming it beside the real cause would only distract.
        ambiguous: Whether several explanations fit equally, so that the user has to choose; such a finding has no step.
    """

    code: str
    severity: Severity
    headline: str
    keys: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    cause: str = ""
    help: str = ""
    step: Step | None = None
    explains: frozenset[tuple[str, str]] = frozenset()
    ambiguous: bool = False
    incidental: bool = False
