"""What a container noticed while it was opened and is not hindered by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from intact.core.finding import Severity


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that a container says of itself; a report prints it as a finding.

    Attributes:
        code: Permanent name, `family/kebab-name`.
        headline: Lower case, no full stop, true when read alone, with the figures and exact names.
        severity: `error` where other programs fail on it or read it wrongly, `warning`, or `info`.
        keys: Every key it is about.
        evidence: Figures and names as plain data.
        cause: What happened to the user.
        help: What to do.
        opened: Whether reading it as intact does is the whole repair: nothing else has to be done, and nothing is lost.
    """

    code: str
    headline: str
    severity: Severity = "warning"
    keys: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    cause: str = ""
    help: str = ""
    opened: bool = False
