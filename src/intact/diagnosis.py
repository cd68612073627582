"""The loop: compare, ask every rule, take the best explanation, predict its step, compare again, until nothing is left.

Rules never know of each other. What one step uncovers, the next round explains; "nested and wrapped and in half precision" needs
no rule of its own. The loop ends because every step that is taken must leave fewer differences, or other ones by a step that is
taken twice at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from intact.comparison import compare
from intact.core.description import Description
from intact.core.difference import Difference
from intact.core.finding import Finding
from intact.core.keys import is_ordinary
from intact.core.plan import Plan, Step
from intact.core.rule import Facts, Rule
from intact.core.wording import by_permission, count, some
from intact.repairs.drop import Drop

MOST_ROUNDS = 64
"""More causes than any real checkpoint has; a bound on plugins whose rules undo each other."""

MOST_REPEATS = 2
"""A step may be due again after a lossy one (a tie of tensors that were then both kept from the model); more is a circle."""

Mark = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the loop arrived at.

    Attributes:
        findings: Causes in the order in which they were recognised, then observations.
        plan: Their steps, in the same order.
        final: The description that the plan arrives at.
        open: Differences that remain there, each explained by a finding without a step.
    """

    findings: tuple[Finding, ...]
    plan: Plan
    final: Description
    open: tuple[Difference, ...]


def diagnose(facts: Facts, rules: Iterable[Rule]) -> Diagnosis:
    """Returns the causes of all differences between what was found and what is expected.

    Args:
        facts: Both sides; `differences` is computed here, afresh in every round.
        rules: In the order in which explanations of equal merit are preferred.
    """
    table = tuple(rule for rule in rules if facts.has_model or not rule.needs_model)
    odd = tuple(key for key in facts.found.tensors if not is_ordinary(key) and key not in facts.expected.tensors)
    if not odd:
        return _diagnosed(facts, table)
    return _with(_diagnosed(_without(facts, frozenset(odd)), table), odd, facts)


def _without(facts: Facts, keys: frozenset[str]) -> Facts:
    found, original = (
        replace(
            side,
            tensors={key: tensor for key, tensor in side.tensors.items() if key not in keys},
            ties=tuple(group for ties in side.ties if len(group := tuple(key for key in ties if key not in keys)) > 1),
        )
        for side in (facts.found, facts.original)
    )
    return replace(facts, found=found, original=original)


def _with(diagnosis: Diagnosis, odd: tuple[str, ...], facts: Facts) -> Diagnosis:
    """What was found without keys that no model has, and that these are left aside first, so that no search meets them."""
    if not facts.has_model:
        return diagnosis
    nested = any(tensor.nest for tensor in facts.found.tensors.values())
    step = Drop(odd, lossless=nested)
    finding = Finding(
        "arch/unexpected-key",
        "info" if nested else "error",
        f"{count(len(odd), 'key')} of the file {'is' if len(odd) == 1 else 'are'} too long for a model, or of too many parts: "
        f"{some([f'{key[:60]}…' for key in odd])}",
        odd,
        {"of": len(facts.found.tensors)},
        cause="the file holds other things than a model, or was made to be hard to read",
        help="" if nested else by_permission("arch/unexpected-key", "they are not used"),
        step=step,
        explains=frozenset(("unexpected", key) for key in odd),
    )
    plan = Plan(((finding.code, step), *diagnosis.plan.steps))
    return Diagnosis((*diagnosis.findings, finding), plan, diagnosis.final, diagnosis.open)


def _diagnosed(facts: Facts, table: tuple[Rule, ...]) -> Diagnosis:
    explaining = [rule for rule in table if rule.phase == "explain"]
    taken: list[Finding] = []
    current, closed = facts.found, frozenset[Mark]()
    left: tuple[Difference, ...] = ()
    reached = _Reached()
    for _ in range(MOST_ROUNDS):
        left = reached.differences(current, facts)
        left = tuple(d for d in left if d.mark not in closed) if closed else left
        best = _best(replace(facts, found=current, differences=left), explaining, taken, reached)
        if best is None:
            break
        taken.append(best)
        if best.step is None:
            closed |= best.explains
        else:
            current = reached.after(best.step, current)
    arrived = replace(facts, found=current, differences=left)
    seen = [finding for rule in table if rule.phase == "observe" for finding in rule.detect(arrived)]
    steps = tuple((finding.code, finding.step) for finding in taken if finding.step is not None)
    return Diagnosis(_told((*taken, *seen)), Plan(steps), current, tuple(d for d in left if d.mark not in closed))


def _told(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """What the user is told: without incidental findings where another one stands in the way of a loss-free load."""
    grave = any(f.severity == "error" and (f.step is None or not f.step.lossless) for f in findings)
    return tuple(finding for finding in findings if not (grave and finding.incidental))


class _Reached:
    """The last description that a step was tried for: what is taken next was tried just before."""

    def __init__(self) -> None:
        self._step: Step | None = None
        self._before: Description | None = None
        self._after: Description | None = None
        self._differences: tuple[Description, tuple[Difference, ...]] | None = None

    def after(self, step: Step, before: Description) -> Description:
        """Returns what a step makes of a description."""
        if self._after is None or self._step is not step or self._before is not before:
            self._step, self._before, self._after = step, before, step.predict(before)
        return self._after

    def differences(self, current: Description, facts: Facts) -> tuple[Difference, ...]:
        """Returns the differences between a description and what is expected."""
        if not facts.has_model:
            return ()
        if self._differences is None or self._differences[0] is not current:
            self._differences = (current, compare(current, facts.expected))
        return self._differences[1]


def _best(facts: Facts, rules: list[Rule], taken: list[Finding], reached: _Reached) -> Finding | None:
    """The explanation to take next: loss-free first, then the one that covers most, then table order."""
    marks = facts.marks
    offers: list[Finding] = []
    for rule in rules:
        if not marks and rule.needs_model:
            continue  # nothing differs, so there is nothing to explain
        for offer in rule.detect(facts):
            if offer.explains == marks and _merit(offer)[0] and _acceptable(offer, facts, marks, taken, reached):
                return offer  # loss-free and complete: no later rule can do better
            offers.append(offer)
    offers.sort(key=_merit, reverse=True)
    return next((offer for offer in offers if _acceptable(offer, facts, marks, taken, reached)), None)


def _merit(finding: Finding) -> tuple[bool, int]:
    return (finding.step is not None and finding.step.lossless, len(finding.explains))


def _acceptable(offer: Finding, facts: Facts, marks: frozenset[Mark], taken: list[Finding], reached: _Reached) -> bool:
    """Whether an explanation speaks of differences that are there, and its step leads on."""
    if not offer.explains <= marks:
        return False
    if offer.step is None:
        return bool(offer.explains) or not any(finding.code == offer.code for finding in taken)
    if [finding.step for finding in taken].count(offer.step) >= MOST_REPEATS:
        return False
    if not offer.explains:
        return True
    after = {d.mark for d in reached.differences(reached.after(offer.step, facts.found), facts)}
    return len(after & marks) < len(marks)


def unexplained(diagnosis: Diagnosis) -> Iterator[Difference]:
    """Yields differences that no finding accounts for; the table of rules is complete where there is none."""
    explained = {mark for finding in diagnosis.findings for mark in finding.explains}
    yield from (d for d in diagnosis.open if d.mark not in explained)
