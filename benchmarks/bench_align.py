"""How long does it take to find which key is which in a nested and wrapped checkpoint with renamed modules, and how does it grow?

The keys are those of a transformer of many layers: under another nesting, behind a wrapper's prefix, with the attention of every
layer under another name. The plan has to arrive at every key of the model. Only descriptions are used, as for any size of
tensors.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.measuring import Table, in_turn, peak_private_bytes, record, timed

from intact.core.collecting import collector_paused
from intact.core.description import Description
from intact.core.rule import Facts
from intact.core.tensor import TensorInfo
from intact.diagnosis import diagnose
from intact.rules import RULES

NAME = "align"
SIZES = (100_000, 30_000, 10_000, 3_000, 1_000)
_PARTS = {
    "self_attn.q_proj": "attention.q_proj",
    "self_attn.k_proj": "attention.k_proj",
    "self_attn.v_proj": "attention.v_proj",
    "self_attn.o_proj": "attention.o_proj",
    "mlp.up": "mlp.up",
    "mlp.down": "mlp.down",
    "norm": "norm",
}
_SHAPES = {"mlp.up": (64, 16), "mlp.down": (16, 64), "norm": (16,)}


def sides(keys: int) -> tuple[Description, Description]:
    """Returns what is found and what is expected, of about so many keys."""
    found: dict[str, TensorInfo] = {}
    expected: dict[str, TensorInfo] = {}
    for layer in range(keys // 14):
        for name, other in _PARTS.items():
            shape = _SHAPES.get(name, (16, 16))
            for leaf, size in (("weight", shape), ("bias", shape[:1])):
                here, there = f"state.module.layers.{layer}.{other}.{leaf}", f"layers.{layer}.{name}.{leaf}"
                found[here] = TensorInfo(here, "float32", size, source=here, nest="state")
                expected[there] = TensorInfo(there, "float32", size)
    return Description(tensors=found), Description(tensors=expected)


@collector_paused()  # as every check does it
def aligned(found: Description, expected: Description) -> None:
    """Aligns the two sides; every key has to be found by a loss-free plan."""
    diagnosis = diagnose(Facts(found, expected, (), found, "torch-zip"), RULES)
    assert diagnosis.plan.lossless
    assert set(diagnosis.final.tensors) == set(expected.tensors), [finding.headline for finding in diagnosis.findings]


def run(folder: Path, rounds: int = 3) -> list[Table]:  # noqa: ARG001 - the shape of a benchmark
    """Returns one table: a row for each number of keys.

    Args:
        folder: Not used; nothing is written.
        rounds: Runs of each size.
    """
    both = {size: sides(size) for size in SIZES}
    peak = peak_private_bytes(lambda: aligned(*both[SIZES[0]]))
    runs = {f"{size:,} keys": partial(timed, partial(aligned, *both[size])) for size in SIZES}
    return [Table("nesting, prefix and renames", in_turn(runs, rounds), {"peak_bytes": peak})]


def main(folder: Path) -> Path:
    """Runs at full size and keeps the record."""
    (table,) = run(folder)
    large, _, middle, _, small = (row.median_s for row in table.rows)
    answer = (
        f"100,000 keys take {large:.1f} s and {int(table.parameters['peak_bytes']) / 2**20:,.0f} MiB; ten times the keys take "
        f"{middle / small:.1f} and {large / middle:.1f} times as long"
    )
    return record(NAME, (__doc__ or "").splitlines()[0], answer, "warm", [table], folder)
