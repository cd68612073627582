"""Does any damage to a sealed checkpoint pass unnoticed, and is it said where it is?

    python -m benchmarks.fault_sealed [--count 10000] [--seed 0] [--folder FOLDER] [--json PATH]
    python -m benchmarks.fault_sealed --replay "one file:0:4711"

A model with a tensor of 21 MB, 700 small ones and a tie is saved as one file and as a set of shards. Each case damages a file in
place as disks, cables and programs do, asks `intact.verify`, and puts the bytes back. A case in which nothing changed is drawn
anew. Damage that lies in tensors alone must be told with exactly their keys, and with a byte range that has the first changed
byte in it. The same files are loaded as people load them, by safetensors and `load_state_dict`, and compared with what was saved.
"""

from __future__ import annotations

import argparse
import json
import random
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.fault_damages import KINDS, WEIGHTS, WHOLE_FILE, Damage, Saved, stale_file
from benchmarks.tallying import keep, place_of, table

NAME = "fault_sealed"
TIED = frozenset({"embed.weight", "head.weight"})
"""Keys of one tensor: damage to it is damage to both."""

COLUMNS = ("cases", "noticed", "silent", "in tensors", "located", "in range", "peer refuses", "peer silently wrong", "peer right")
"""`in tensors`: nothing else changed. `located`: exactly these tensors were named. `in range`: with the first changed byte."""


@dataclass
class Checkpoint:
    """A sealed checkpoint and how it is asked.

    Attributes:
        name: What it is called.
        path: What is verified.
        files: Its files.
        sharded: Whether it is a set.
    """

    name: str
    path: Path
    files: list[Saved]
    sharded: bool
    original: dict[str, Any] = field(repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said of a damaged checkpoint.

    Attributes:
        noticed: Whether it was called anything but intact.
        keys: The tensors that were named as damaged.
        ranges: The byte ranges that were named, by key.
        words: The verdict or code.
    """

    noticed: bool
    keys: frozenset[str] = frozenset()
    ranges: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)
    words: str = ""


def model_of(seed: int, blocks: int, rows: int) -> Any:
    """Returns a model with a large tensor, many small ones, a tie, and values of three dtypes."""
    import torch

    torch.manual_seed(seed)
    layers = [torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.BatchNorm1d(16)) for _ in range(blocks)]
    embedding, head = torch.nn.Embedding(rows, 128), torch.nn.Linear(128, rows, bias=False)
    head.weight = embedding.weight
    middle = torch.nn.Linear(512, 4096, dtype=torch.bfloat16)
    with torch.no_grad():
        for layer in layers:
            layer[1].running_mean.normal_()  # type: ignore[operator]
            layer[1].num_batches_tracked.random_(100_000)  # type: ignore[operator]
    return torch.nn.ModuleDict({"embed": embedding, "blocks": torch.nn.ModuleList(layers), "middle": middle, "head": head})


def made(folder: Path, blocks: int, rows: int) -> list[Checkpoint]:
    """Saves both checkpoints over older ones and returns them with the bytes of both saves."""
    import intact

    older, newer = (model_of(seed, blocks, rows) for seed in (1, 2))
    shard_bytes = rows * 128 * 4 // 2
    checkpoints = []
    for name, max_shard_bytes in (("one file", None), ("shards", shard_bytes)):
        place = folder / name.replace(" ", "-")
        place.mkdir()
        path = place / "model.safetensors"
        intact.save(older, path, max_shard_bytes=max_shard_bytes)
        before = [file.read_bytes() for file in _files(place)]
        intact.save(newer, path, max_shard_bytes=max_shard_bytes)
        after = _files(place)
        assert len(after) == len(before), f"saves of one model differ in their files: {after}"
        saved = [Saved(file, file.read_bytes(), old, _ranges(file)) for file, old in zip(after, before, strict=True)]
        opened = next((file for file in after if file.suffix == ".json"), path)
        checkpoints.append(Checkpoint(name, opened, saved, max_shard_bytes is not None, dict(newer.state_dict())))
    return checkpoints


def _files(folder: Path) -> list[Path]:
    """Returns the files of a checkpoint in the order of their numbers, whatever the save is called."""
    return sorted((path for path in folder.iterdir() if path.is_file()), key=lambda path: path.name[-30:])


def _ranges(path: Path) -> dict[str, tuple[int, int]]:
    if path.suffix != ".safetensors":
        return {}
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    return {key: (8 + length + entry["data_offsets"][0], 8 + length + entry["data_offsets"][1]) for key, entry in header.items()}


def drawn(checkpoint: Checkpoint, case: str) -> tuple[str, Saved, Damage]:
    """Returns the damage of a case, which its name decides."""
    rng = random.Random(case)
    kinds = {**KINDS, WHOLE_FILE: stale_file} if checkpoint.sharded else KINDS
    weights = [WEIGHTS.get(kind, 5) for kind in kinds]
    sizes = [len(file.content) + (1 << 20) for file in checkpoint.files]  # the small ones get their share
    while True:
        kind = rng.choices(list(kinds), weights)[0]
        file = rng.choices(checkpoint.files, sizes)[0]
        damage = kinds[kind](rng, file)
        if damage and (damage.size_bytes != len(file.content) or file.changed(damage).size):
            return kind, file, damage


def asked(path: Path) -> Answer:
    """Returns what intact says of a checkpoint."""
    import intact

    try:
        report = intact.verify(path)
    except intact.IntactError as error:
        return Answer(True, words=error.code or type(error).__name__)
    if report.verdict == "intact":
        return Answer(False, words="intact")
    keys = frozenset(key for finding in report.findings for key in finding.keys)
    ranges: dict[str, list[tuple[int, int]]] = {}
    for finding in report.findings:
        for chunk in finding.evidence.get("chunks", ()):
            ranges.setdefault(chunk["key"], []).append((chunk["begin"], chunk["end"]))
    return Answer(True, keys, ranges, ", ".join(sorted({finding.code for finding in report.findings})))


def loaded_by_peer(checkpoint: Checkpoint, model: Any) -> str:
    """Returns what becomes of a damaged checkpoint that is loaded as people load one: refused, wrong, or right."""
    import safetensors.torch
    import torch

    try:
        if checkpoint.sharded:
            weight_map = json.loads(checkpoint.path.read_text(encoding="utf-8"))["weight_map"]
            state = {}
            for name in sorted(set(weight_map.values())):
                state.update(safetensors.torch.load_file(checkpoint.path.parent / name))
        else:
            state = safetensors.torch.load_file(checkpoint.path)
        tied = {"head.weight": state["embed.weight"]} if "embed.weight" in state else {"embed.weight": state["head.weight"]}
        model.load_state_dict({**tied, **state})
    except Exception:  # noqa: BLE001 - whichever error its reader has
        return "peer refuses"
    same = all(
        torch.equal(value.contiguous().view(torch.uint8), checkpoint.original[key].contiguous().view(torch.uint8))
        if value.dim()
        else torch.equal(value, checkpoint.original[key])
        for key, value in model.state_dict().items()
    )
    return "peer right" if same else "peer silently wrong"


def judge(file: Saved, damage: Damage, answer: Answer) -> Counter[str]:
    """Returns what is counted for a case."""
    counts = Counter({"cases": 1, "noticed" if answer.noticed else "silent": 1})
    places = file.changed(damage)
    spans = sorted((begin, end, key) for key, (begin, end) in file.tensors.items() if end > begin)
    if damage.size_bytes != len(file.content) or not spans or places[0] < spans[0][0]:
        return counts
    begins = np.array([begin for begin, _, _ in spans])
    hit = {spans[number][2] for number in np.unique(np.searchsorted(begins, places, side="right") - 1)}
    first = spans[int(np.searchsorted(begins, places[0], side="right")) - 1][2]
    counts["in tensors"] += 1
    counts["located"] += answer.keys == hit | (TIED if hit & TIED else frozenset())
    counts["in range"] += any(begin <= places[0] < end for begin, end in answer.ranges.get(first, ()))
    return counts


def run(checkpoint: Checkpoint, seed: int, numbers: range, model: Any) -> dict[str, Counter[str]]:
    """Returns the counts of some cases by kind of damage, and prints those that went unnoticed or were told wrongly."""
    found: dict[str, Counter[str]] = {}
    for number in numbers:
        case = f"{checkpoint.name}:{seed}:{number}"
        kind, file, damage = drawn(checkpoint, case)
        file.put(damage)
        try:
            answer = asked(checkpoint.path)
            peer = loaded_by_peer(checkpoint, model)
        finally:
            file.put_back(damage)
        counts = judge(file, damage, answer)
        counts[peer] += 1
        if counts["silent"] or counts["in tensors"] != counts["located"] or counts["in tensors"] != counts["in range"]:
            print(
                f"  {case}  {kind} of {file.path.name} from {damage.begin}: {answer.words} {sorted(answer.keys)[:3]}", flush=True
            )
        found.setdefault(kind, Counter()).update(counts)
    assert not asked(checkpoint.path).noticed, "the bytes were not put back"
    return found


def replay(case: str, folder: Path, blocks: int, rows: int) -> int:
    """Runs one case again and prints what is said of it."""
    name, seed, number = case.split(":")
    checkpoint = next(one for one in made(folder, blocks, rows) if one.name == name)
    found = run(checkpoint, int(seed), range(int(number), int(number) + 1), model_of(3, blocks, rows))
    print(json.dumps(found, indent=1))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the counts and keeps them; 1 where damage went unnoticed or was told wrongly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="cases in all, half of them for each checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--blocks", type=int, default=100, help="pairs of small layers")
    parser.add_argument("--rows", type=int, default=40_960, help="rows of the large tensor, 512 bytes each")
    parser.add_argument("--folder", type=Path, help="where the files lie; in memory where there is a place for that")
    parser.add_argument("--json", type=Path, default=place_of(NAME), help="where the counts are kept")
    parser.add_argument("--replay", metavar="CASE", help="run one case again")
    args = parser.parse_args(arguments)
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=args.folder or memory) as name:
        if args.replay:
            return replay(args.replay, Path(name), args.blocks, args.rows)
        return _all(Path(name), args)


def _all(folder: Path, args: argparse.Namespace) -> int:
    began = time.perf_counter()
    total: Counter[str] = Counter()
    by_checkpoint: dict[str, dict[str, dict[str, int]]] = {}
    model = model_of(3, args.blocks, args.rows)
    for checkpoint in made(folder, args.blocks, args.rows):
        found = run(checkpoint, args.seed, range(args.count // 2), model)
        whole = sum(found.values(), Counter())
        total += whole
        by_checkpoint[checkpoint.name] = {kind: dict(found[kind]) for kind in sorted(found)}
        print(table(checkpoint.name, COLUMNS, {**by_checkpoint[checkpoint.name], "all": whole}), end="\n\n", flush=True)
    said = answer_of(total)
    print(f"{said}; {time.perf_counter() - began:.0f} s")
    parameters = {"count": args.count, "seed": args.seed, "blocks": args.blocks, "rows": args.rows}
    keep(args.json, (__doc__ or "").splitlines()[0], said, folder, {"parameters": parameters, "counts": by_checkpoint})
    return 1 if total["silent"] or total["located"] < total["in tensors"] or total["in range"] < total["in tensors"] else 0


def answer_of(total: Mapping[str, int]) -> str:
    """Returns what the counts say in one sentence."""
    share = 100 * total["located"] / max(1, total["in tensors"])
    return (
        f"{total['silent']:,} of {total['cases']:,} faults went unnoticed, and {share:.1f} % of the {total['in tensors']:,} that "
        f"lie in tensors alone were told with exactly their keys; safetensors and load_state_dict loaded "
        f"{total['peer silently wrong']:,} of the {total['cases']:,} wrongly without a word"
    )


if __name__ == "__main__":
    sys.exit(main())
