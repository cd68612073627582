#!/usr/bin/env python3
"""Writes benchmarks/README.md from results/*.json; `--check` only says whether it is up to date."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a script
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.plotting import growth_svg, is_growth

HERE = Path(__file__).resolve().parent
README = HERE / "README.md"
INTRODUCTION = """<!-- generated from results/*.json by benchmarks/make_readme.py -->
# Benchmarks

Each file `bench_*.py` asks one question, checks that all contestants return equal values, and then times them in turn on the same
file. `make bench` measures again and writes this page. Ratios within one table mean something; absolute figures are those of the
machine named below it. At small size every benchmark also runs as an ordinary test, without judging times.
"""


def records() -> list[dict[str, Any]]:
    """Returns what was measured, by the names of the benchmarks."""
    every = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((HERE / "results").glob("*.json"))]
    return [one for one in every if "benchmark" in one]


def text() -> str:
    """Returns the whole page."""
    return "\n".join([INTRODUCTION, *map(section, records())])


def plots() -> list[tuple[Path, str]]:
    """Returns the plots that the page shows: where, and what."""
    return [
        (HERE / "results" / f"{one['benchmark']}.svg", growth_svg(table))
        for one in records()
        for table in one["tables"]
        if is_growth(table)
    ]


def section(one: dict[str, Any]) -> str:
    """Returns the part of one benchmark."""
    name = one["benchmark"]
    lines = [f"## {name}", "", f"{one['question']}", "", f"**{one['answer']}.**", ""]
    for table in one["tables"]:
        lines += [*table_lines(table), ""]
        if is_growth(table):
            lines += [f"![Time by size](results/{name}.svg)", ""]
    lines += [
        machine_line(one),
        "",
        f"Record: [results/{name}.json](results/{name}.json) · code: [bench_{name}.py](bench_{name}.py)",
        "",
    ]
    return "\n".join(lines)


def table_lines(table: dict[str, Any]) -> list[str]:
    """Returns one table; ratios are of medians, with the first row as 1."""
    rows = table["rows"]
    with_memory = any(row["peak_bytes"] for row in rows)
    first = statistics.median(rows[0]["runs_s"])
    sizes = ", ".join(f"{amount(name, value)}" for name, value in table["parameters"].items())
    lines = [
        f"**{table['title']}** ({sizes}; {len(rows[0]['runs_s'])} runs)",
        "",
        f"| contestant | median ms | best ms | ratio |{' peak memory |' if with_memory else ''}",
        f"| --- | --: | --: | --: |{' --: |' if with_memory else ''}",
    ]
    for row in rows:
        median = statistics.median(row["runs_s"])
        figures = [f"{median * 1e3:,.1f}", f"{min(row['runs_s']) * 1e3:,.1f}", f"{median / first:.2f}"]
        figures += [f"{row['peak_bytes'] / 2**20:,.0f} MiB"] if with_memory else []
        lines.append(f"| {row['contestant']} | {' | '.join(figures)} |")
    return lines


def amount(name: str, value: int | str) -> str:
    """Returns one parameter with its unit."""
    if name == "file_bytes":
        return f"{int(value) / 2**30:.2f} GiB" if int(value) >= 2**30 else f"{int(value) / 2**20:.1f} MiB"
    return f"{int(value):,} {name}"


def machine_line(one: dict[str, Any]) -> str:
    """Returns what the figures depend on, in one paragraph."""
    m = one["machine"]
    libraries = ", ".join(f"{name} {m[name]}" for name in ("torch", "safetensors", "numpy"))
    processor = f"{m['cpu']}, {m['cores']} cores (load {m['load']}), {m['memory_bytes'] / 2**30:.0f} GiB"
    system = f"{m['system']}, {m['file_system']}; Python {m['python']}, {libraries}"
    return f"{one['date']}; {processor}; {system}; page cache {one['cache']}."


def main(arguments: list[str]) -> int:
    """Writes the page, or says with `--check` whether it is what would be written."""
    differing = False
    for path, wanted in ((README, text()), *plots()):
        if path.exists() and path.read_text(encoding="utf-8") == wanted:
            continue
        print(f"differs: {path.name}")
        differing = True
        if "--check" not in arguments:
            path.write_text(wanted, encoding="utf-8")
    return int(differing and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
