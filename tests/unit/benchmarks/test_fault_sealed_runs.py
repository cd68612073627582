"""Damage to sealed checkpoints at small size: nothing passes unnoticed, and a run in which something did would fail."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from benchmarks import fault_sealed
from benchmarks.fault_damages import KINDS, WHOLE_FILE, Damage, Saved, stale_file
from benchmarks.fault_sealed import Answer

SMALL = ["--blocks", "10", "--rows", "6000"]
"""A tensor of 3 MB has three chunks; the header still fills more than one block."""


def test_no_damage_passes_unnoticed_and_all_is_told_where_it_is(tmp_path: Path) -> None:
    """Two hundred faults of every kind in both layouts; the record says how many of them other readers load."""
    status = fault_sealed.main(["--count", "200", "--json", str(tmp_path / "record.json"), *SMALL])
    record = json.loads((tmp_path / "record.json").read_text())
    assert status == 0, record["answer"]
    assert "cpu" in record["machine"]
    for name, kinds in record["counts"].items():
        assert set(kinds) <= {*KINDS, *([WHOLE_FILE] if name == "shards" else [])}
        assert len(kinds) >= len(KINDS) - 1, "hardly every kind was drawn"
        assert sum(kind["cases"] for kind in kinds.values()) == sum(kind["noticed"] for kind in kinds.values()) == 100
        assert sum(kind.get("peer silently wrong", 0) for kind in kinds.values()) > 50, (
            "the damage is too coarse to mean anything"
        )


@pytest.mark.parametrize(
    ("answer", "words"),
    [(Answer(False, words="intact"), "100 of 100 faults went unnoticed"), (Answer(True, frozenset({"x"})), "0.0 %")],
)
def test_damage_that_is_missed_or_told_wrongly_is_a_failure(
    answer: Answer, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that cannot fail proves nothing."""
    asked = iter([answer] * 50 + [Answer(False)] + [answer] * 50 + [Answer(False)])
    monkeypatch.setattr(fault_sealed, "asked", lambda path: next(asked))
    assert fault_sealed.main(["--count", "100", "--json", str(tmp_path / "record.json"), *SMALL]) == 1
    assert words in capsys.readouterr().out


def saved(path: Path) -> Saved:
    """Returns a file of nine blocks and a bit, and an older version of it."""
    rng = random.Random(0)
    content, older = rng.randbytes(9 * 4096 + 77), rng.randbytes(9 * 4096 + 50)
    path.write_bytes(content)
    return Saved(path, content, older, {})


@pytest.mark.parametrize("kind", [*KINDS, WHOLE_FILE])
def test_every_kind_of_damage_changes_the_file_and_is_put_back(kind: str, tmp_path: Path) -> None:
    """A fault that changes nothing would be counted as missed, and one that stays would spoil all later cases."""
    file = saved(tmp_path / "file")
    for seed in range(40):
        damage = {**KINDS, WHOLE_FILE: stale_file}[kind](random.Random(seed), file)
        if damage is None:  # the older file has no such block
            continue
        file.put(damage)
        now = file.path.read_bytes()
        assert len(now) == damage.size_bytes
        if len(now) == len(file.content):
            changed = [place for place, (a, b) in enumerate(zip(now, file.content, strict=True)) if a != b]
            assert file.changed(damage).tolist() == changed != []
        assert now != file.content
        file.put_back(damage)
        assert file.path.read_bytes() == file.content


def test_what_is_damaged_is_known_to_the_byte(tmp_path: Path) -> None:
    """Two neighbouring tensors are told apart, and bytes before the first are no tensor's."""
    content = bytes(100)
    file = Saved(tmp_path / "x", content, content, {"a": (10, 50), "empty": (50, 50), "b": (50, 100)})
    across = Damage(49, b"\1\1", 100)
    right = fault_sealed.judge(file, across, Answer(True, frozenset("ab"), {"a": [(10, 50)], "b": [(50, 100)]}))
    assert (right["in tensors"], right["located"], right["in range"]) == (1, 1, 1)
    wrong = fault_sealed.judge(file, across, Answer(True, frozenset("a"), {"a": [(10, 49)]}))
    assert (wrong["in tensors"], wrong["located"], wrong["in range"]) == (1, 0, 0)
    assert fault_sealed.judge(file, Damage(9, b"\1\1", 100), Answer(True))["in tensors"] == 0
