"""The kinds of step, one file each, and reading a plan back from plain data.

Every step is a frozen record with `predict` on descriptions and `perform` on values. A plan written as JSON is read here;
it comes from outside, so each field is checked before use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from intact.core.plan import Plan, Step
from intact.errors import IntactError
from intact.plugins import Table


class StepKind(Protocol):
    """A class of steps that can be read back from plain data."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Step:
        """Returns the step that `to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: A field is missing or of another type.
        """
        ...


STEPS: Table[StepKind] = Table(
    "intact.steps",
    {
        "unnest": "intact.repairs.unnest:Unnest",
        "rename": "intact.repairs.rename:Rename",
        "transpose": "intact.repairs.transpose:Transpose",
        "reshape": "intact.repairs.reshape:Reshape",
        "merge": "intact.repairs.merge:Merge",
        "split": "intact.repairs.split:Split",
        "tie": "intact.repairs.tie:Tie",
        "cast": "intact.repairs.cast:Cast",
        "place": "intact.repairs.place:Place",
        "fill": "intact.repairs.fill:Fill",
        "keep": "intact.repairs.keep:Keep",
        "resize": "intact.repairs.resize:Resize",
        "merge-adapter": "intact.repairs.merge_adapter:MergeAdapter",
        "dequantize": "intact.repairs.dequantize:Dequantize",
        "versions": "intact.repairs.versions:Versions",
        "mask": "intact.repairs.mask:Mask",
        "drop": "intact.repairs.drop:Drop",
        "rewrite": "intact.repairs.rewrite:Rewrite",
        "by-name": "intact.repairs.by_name:ByName",
        "sequence": "intact.repairs.sequence:Sequence",
        "in-part": "intact.repairs.in_part:InPart",
    },
)


def step_from_dict(data: Mapping[str, Any]) -> Step:
    """Returns the step that plain data describes.

    Raises:
        IntactError: The kind is unknown, or a field is missing or of another type.
    """
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in STEPS:
        raise IntactError(f"plan: there is no kind of step named {kind!r}", help=f"the kinds are {', '.join(STEPS)}")
    try:
        return STEPS[kind].from_dict(data)
    except (KeyError, TypeError, ValueError) as error:
        raise IntactError(f"plan: step {kind!r}: {type(error).__name__}: {error}") from error


def plan_from_dict(data: Mapping[str, Any]) -> Plan:
    """Returns the plan that `Plan.to_dict` wrote.

    Raises:
        IntactError: The data is no plan.
    """
    steps = data.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) and isinstance(step.get("code"), str) for step in steps):
        raise IntactError("plan: `steps` must be a list of steps, each with its `code`")
    return Plan(tuple((step["code"], step_from_dict(step)) for step in steps))
