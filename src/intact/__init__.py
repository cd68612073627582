"""Save a PyTorch model and get the same model back, or be told exactly why not.

Every public name is imported on first use, so that `import intact` costs neither torch nor numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intact.api import check, explain, inspect, load_into, read, repair
    from intact.core.container import Foreign
    from intact.core.finding import Finding
    from intact.core.plan import Plan
    from intact.core.report import Report
    from intact.errors import (
        CannotRead,
        Damaged,
        IntactError,
        LoadRefused,
        MissingDependency,
        ModelError,
        NotACheckpoint,
        ReadBackFailed,
        TooLarge,
    )

_HOME = {
    "CannotRead": "intact.errors",
    "Damaged": "intact.errors",
    "Finding": "intact.core.finding",
    "Foreign": "intact.core.container",
    "IntactError": "intact.errors",
    "LoadRefused": "intact.errors",
    "MissingDependency": "intact.errors",
    "ModelError": "intact.errors",
    "NotACheckpoint": "intact.errors",
    "Plan": "intact.core.plan",
    "ReadBackFailed": "intact.errors",
    "Report": "intact.core.report",
    "TooLarge": "intact.errors",
    "check": "intact.api",
    "explain": "intact.api",
    "inspect": "intact.api",
    "load_into": "intact.api",
    "read": "intact.api",
    "repair": "intact.api",
}

__version__ = "0.1.0"
__all__ = [
    "CannotRead",
    "Damaged",
    "Finding",
    "Foreign",
    "IntactError",
    "LoadRefused",
    "MissingDependency",
    "ModelError",
    "NotACheckpoint",
    "Plan",
    "ReadBackFailed",
    "Report",
    "TooLarge",
    "check",
    "explain",
    "inspect",
    "load_into",
    "read",
    "repair",
]


def __getattr__(name: str) -> Any:
    """Imports a public name from where it lives."""
    if name not in _HOME:
        raise AttributeError(f"module 'intact' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted([*__all__, "__version__"])
