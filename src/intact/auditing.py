"""Before a save: what would not survive it, on a live model, with the code that accepts each loss.

The report has no file. Its errors stop a save unless their codes are allowed; a model in which nothing looks wrong is `intact`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from intact.core.collecting import collector_paused
from intact.core.description import Description, Source
from intact.core.inventory import Inventory
from intact.core.plan import Plan
from intact.core.report import VERDICTS, Report, Target, verdict_of
from intact.core.rule import Facts
from intact.rules import RULES

if TYPE_CHECKING:
    import torch

    from intact.core.architecture import Architecture


class Captured(Protocol):
    """What is known of a model's construction, as far as an audit asks."""

    @property
    def architecture(self) -> Architecture:
        """Class and arguments, proved or not."""
        ...

    @property
    def twin(self) -> torch.nn.Module | None:
        """The model freshly built from its constructor's arguments, where that is proved to give the same model."""
        ...


@collector_paused()
def audit(model: torch.nn.Module, captured: Captured | None = None, *, expected: Description | None = None) -> Report:
    """Returns the report on what would not survive a save.

    Args:
        model: It is not changed.
        captured: What is known of its construction; it is found out where nothing is given.
        expected: The description of the model, where it is at hand.

    Raises:
        ModelError: The model's own `state_dict` raises.
    """
    from intact.model.expectation import expect
    from intact.model.making.architecture import capture
    from intact.model.survival.inventory import take_inventory
    from intact.model.survival.remaking import likely_twin

    known: Captured = captured if captured is not None else capture(model)
    twin = known.twin
    likely = likely_twin(model, known.architecture) if twin is None else None
    inventory = take_inventory(model, twin, likely)
    description = expect(model) if expected is None else expected
    return report_of(inventory, type(model).__name__, description)


def report_of(inventory: Inventory, class_name: str, expected: Description) -> Report:
    """Returns what the rules of an audit make of an inventory."""
    facts = Facts(expected, expected, (), expected, inventory=inventory)
    found = [finding for rule in RULES if rule.phase == "audit" for finding in rule.detect(facts)] if inventory.items else []
    findings = tuple(sorted(found, key=lambda finding: -VERDICTS.index(verdict_of((finding,)))))
    steps = tuple((finding.code, finding.step) for finding in findings if finding.step is not None)
    target = Target(class_name, len(expected.tensors))
    return Report(Source(""), target, findings, Plan(steps), found=expected, expected=expected)


def stopped_by(report: Report, allow: Iterable[str]) -> tuple[str, ...]:
    """Returns the codes of the errors that stop a save, once each: those that the user did not allow."""
    allowed = set(allow)
    codes = (finding.code for finding in report.findings if finding.severity == "error" and finding.code not in allowed)
    return tuple(dict.fromkeys(codes))
