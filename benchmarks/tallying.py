"""What the fault runs share: a table of counts, printed and kept with the machine it was counted on.

Their records lie beside those of the benchmarks in `results/`, and hold counts in place of times.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import RESULTS, machine


def table(title: str, columns: Sequence[str], rows: Mapping[str, Mapping[str, object]]) -> str:
    """Returns counts as aligned text, one line for each row; an absent count is 0."""
    width = max(len(name) for name in (title, *rows))
    lines = [f"{title:{width}}" + "".join(f"  {column:>{len(column)}}" for column in columns)]
    lines += [
        f"{name:{width}}" + "".join(f"  {_figure(row.get(column, 0)):>{len(column)}}" for column in columns)
        for name, row in rows.items()
    ]
    return "\n".join(lines)


def _figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def keep(path: Path, question: str, answer: str, folder: Path, counts: Mapping[str, Any]) -> None:
    """Writes a record: question, answer, machine, and the counts."""
    path.parent.mkdir(exist_ok=True)
    plain = {
        "faults": path.stem,
        "question": question,
        "answer": answer,
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(folder),
        **{key: dict(value) if isinstance(value, Counter) else value for key, value in counts.items()},
    }
    path.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def place_of(name: str) -> Path:
    """Returns where the record of this name is kept."""
    return RESULTS / f"{name}.json"
