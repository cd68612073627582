"""The finding of an audit: what a save would lose, on which paths, and the word that allows it.

All rules of an audit speak the same way. What is lost for sure is an error with a lossy step, so that the plan of the report
lists the code to allow; what is only likely is a warning; what deserves a word is information.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from intact.core.finding import Example, Finding, Severity
from intact.core.inventory import Grade, Item, Kind
from intact.core.plan import Step
from intact.core.rule import Facts
from intact.core.wording import tensor_text
from intact.repairs.drop import Drop

SEVERITIES: dict[Grade, Severity] = {"lost": "error", "doubtful": "warning", "noted": "info"}


def graded(facts: Facts, *kinds: Kind) -> Iterator[tuple[Item, ...]]:
    """Yields the items of some kinds that the inventory has, those of one grade together, the surest first."""
    if facts.inventory is None:
        return
    for grade in SEVERITIES:
        if items := facts.inventory.of(*kinds, grade=grade):
            yield items


def loss(
    code: str, items: Sequence[Item], headline: str, cause: str, fix: str, *, stops: bool = True, step: Step | None = None
) -> Finding:
    """Returns what an audit says of things of one grade.

    Args:
        code: The cause.
        items: What it is about; at least one.
        headline: Lower case, no full stop.
        cause: What happened.
        fix: What to write instead.
        stops: Whether an error is a loss that leaves the rest of the checkpoint sound; otherwise it has no step.
        step: What is lost, where it is not that the tensors are left out.
    """
    keys = tuple(dict.fromkeys(key for item in items for key in item.keys if key))
    severity = SEVERITIES[items[0].grade]
    return Finding(
        code,
        severity,
        headline,
        keys,
        {"bytes": sum(item.size_bytes for item in items), "items": [_row(item) for item in items]},
        tuple(Example(tensor_text(tensor)) for item in items for tensor in item.tensors)[:3],
        cause,
        f'{fix}; to save all the same: allow=["{code}"]' if severity == "error" else fix,
        (step or Drop(keys)) if severity == "error" and stops else None,
    )


def _row(item: Item) -> dict[str, object]:
    row = {
        "path": item.path,
        "class": item.class_name,
        "owner": item.owner_class,
        "bytes": item.size_bytes,
        "because": item.evidence,
        "with": item.partner,
    }
    return {name: value for name, value in row.items() if value != ""}


def sizes(items: Sequence[Item]) -> str:
    """Returns how much is concerned: `1.2 KiB`, with the number of tensors where it is another than that of the items."""
    tensors, number = sum(len(item.tensors) for item in items), float(sum(item.size_bytes for item in items))
    unit = "bytes" if number != 1 else "byte"
    for larger in ("KiB", "MiB", "GiB"):
        if number < 1024:
            break
        number, unit = number / 1024, larger
    shown = f"{number:,.0f}" if unit.startswith("byte") else f"{number:,.1f}"
    return f"{shown} {unit}" if tensors == len(items) else f"{tensors:,} tensors, {shown} {unit}"
