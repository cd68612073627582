"""Save a PyTorch model and get the same model back, or be told exactly why not.

Every public name is imported on first use, so that `import intact` costs neither torch nor numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intact.api import (
        audit,
        check,
        explain,
        inspect,
        load,
        load_into,
        load_program,
        read,
        repair,
        save,
        seal,
        verify,
    )
    from intact.api_files import convert, diff, salvage
    from intact.core.container import Foreign
    from intact.core.finding import Finding
    from intact.core.plan import Plan
    from intact.core.report import Report
    from intact.errors import (
        CannotRead,
        CheckpointWarning,
        Damaged,
        IntactError,
        LoadRefused,
        MissingDependency,
        ModelError,
        NotACheckpoint,
        ReadBackFailed,
        TooLarge,
    )
    from intact.guarding import guard
    from intact.management import CheckpointManager
    from intact.model.making.recording import Recorded, recorded
    from intact.model.making.trust import register
    from intact.model.rng import rng

_HOME = {
    "CannotRead": "intact.errors",
    "CheckpointManager": "intact.management",
    "CheckpointWarning": "intact.errors",
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
    "Recorded": "intact.model.making.recording",
    "Report": "intact.core.report",
    "TooLarge": "intact.errors",
    "audit": "intact.api",
    "check": "intact.api",
    "convert": "intact.api_files",
    "diff": "intact.api_files",
    "explain": "intact.api",
    "guard": "intact.guarding",
    "inspect": "intact.api",
    "load": "intact.api",
    "load_into": "intact.api",
    "load_program": "intact.api",
    "read": "intact.api",
    "recorded": "intact.model.making.recording",
    "register": "intact.model.making.trust",
    "repair": "intact.api",
    "salvage": "intact.api_files",
    "rng": "intact.model.rng",
    "save": "intact.api",
    "seal": "intact.api",
    "verify": "intact.api",
}

__version__ = "0.1.0"
__all__ = [
    "CannotRead",
    "CheckpointManager",
    "CheckpointWarning",
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
    "Recorded",
    "Report",
    "TooLarge",
    "audit",
    "check",
    "convert",
    "diff",
    "explain",
    "guard",
    "inspect",
    "load",
    "load_into",
    "load_program",
    "read",
    "recorded",
    "register",
    "repair",
    "rng",
    "salvage",
    "save",
    "seal",
    "verify",
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
