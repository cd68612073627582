"""Does damage to an ordinary checkpoint pass unnoticed, and does salvage ever hand out a wrong tensor as whole?

    python -m benchmarks.fault_salvage [--count 10000] [--seed 0] [--folder FOLDER] [--json PATH]
    python -m benchmarks.fault_salvage --replay "torch zip:0:4711"

The same weights are written as torch writes them (a zip archive with CRC-32), as a sealed file, as plain safetensors and in
torch's legacy format; the last two keep no checksums. Each case damages a file in place as disks, cables and programs do, asks
`intact.check` and `intact.salvage`, and compares every tensor that is handed out with what was saved. A case in which nothing of
the tensors changed counts as such. Formats without checksums cannot show a flipped bit or a block of other weights; the tensors
of such cases are counted in a column of their own: they are handed out by extent alone, which is what `judged` says of them.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.fault_damages import KINDS, WEIGHTS, Damage, Saved
from benchmarks.tallying import keep, place_of, table

NAME = "fault_salvage"
COLUMNS = (
    "cases", "payload changed", "noticed", "silent", "whole", "wrong as whole", "wrong by extent",
    "flips", "restored", "restored wrong",
)  # fmt: skip
"""`silent`: the payload changed, and `check` found nothing. `wrong as whole`: tensors that a digest or a CRC-32 is said to prove.
`wrong by extent`: handed out by formats that keep no proof. `flips`: single bits in a storage of a CRC-32 archive."""


def weights() -> dict[str, Any]:
    """Random weights of many sizes, the largest just under a megabyte."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(5)
        sizes = [(250, 1000), (128, 300), (64, 64), (64,), (31, 17), (512, 24)] + [(16, 16)] * 20
        return {f"layers.{number}.weight": torch.randn(size) * 0.05 for number, size in enumerate(sizes)}


def made(folder: Path) -> dict[str, Saved]:
    """Writes the files, and returns them by name."""
    import torch
    from safetensors.torch import save_file

    import intact

    found = {}
    for name, ending in (
        ("torch zip", "zip.pth"),
        ("sealed", "sealed.safetensors"),
        ("safetensors", "plain.safetensors"),
        ("legacy", "old.pth"),
    ):
        contents = []
        for factor in (0.9, 1.0):
            state, path = {key: value * factor for key, value in weights().items()}, folder / ending
            if name == "torch zip":
                torch.save(state, path)
            elif name == "legacy":
                torch.save(state, path, _use_new_zipfile_serialization=False)
            elif name == "safetensors":
                save_file(state, path)
            else:
                module = torch.nn.Module()
                holder = torch.nn.ParameterDict(
                    {key.replace(".", "_"): torch.nn.Parameter(value) for key, value in state.items()}
                )
                module.add_module("held", holder)
                intact.save(module, path, overwrite=True)
            contents.append(path.read_bytes())
        found[name] = Saved(path, contents[1], contents[0], {})
    return found


def drawn(file: Saved, name: str, seed: int, number: int) -> tuple[str, Damage]:
    """Returns the damage of one case, the same for the same seed and number."""
    rng = random.Random(f"{name}:{seed}:{number}")
    kinds = list(KINDS)
    while True:
        kind = rng.choices(kinds, [WEIGHTS.get(k, 5) for k in kinds])[0]
        damage = KINDS[kind](rng, file)
        if damage is not None and (damage.size_bytes != len(file.content) or len(file.changed(damage))):
            return kind, damage


def asked(file: Saved, originals: Mapping[str, Any], kind: str, damage: Damage) -> Counter[str]:
    """Damages the file, asks, and puts it back."""
    import torch

    import intact

    file.put(damage)
    try:
        verdict = intact.check(file.path).verdict
        try:
            found = intact.salvage(file.path)
        except intact.IntactError:
            found = None
        tally = Counter({"cases": 1})
        handed = dict(found.tensors) if found is not None else {}
        wrong = [k for k, v in handed.items() if k not in originals or not torch.equal(v, originals[k])]
        by_extent = [k for k in wrong if found is not None and found.judged[k].proof == "extent"]
        changed = bool(wrong) or set(handed) != set(originals)
        tally.update(
            {
                "payload changed": changed,
                "noticed": changed and verdict != "intact",
                "silent": changed and verdict == "intact",
                "whole": len(handed),
                "wrong as whole": len(wrong) - len(by_extent),
                "wrong by extent": len(by_extent),
            }
        )
        if found is not None and found.restored:
            right = all(torch.equal(v, originals[k]) for k, v in found.restored.items())
            tally.update({"restored": kind == "one bit flipped" and right, "restored wrong": not right})
        if (
            kind == "one bit flipped"
            and found is not None
            and any(j.state in ("restored", "suspicious") for j in found.judged.values())
        ):
            tally["flips"] += 1
        return tally
    finally:
        file.put_back(damage)


def run(files: Mapping[str, Saved], count: int, seed: int) -> dict[str, dict[str, Counter[str]]]:
    """Runs all cases, and returns the counts by file and kind."""
    counts: dict[str, dict[str, Counter[str]]] = {}
    for name, file in files.items():
        originals = _originals(file.path)
        rows: dict[str, Counter[str]] = {}
        for number in range(count // len(files)):
            kind, damage = drawn(file, name, seed, number)
            tally = asked(file, originals, kind, damage)
            if tally["wrong as whole"] or (tally["silent"] and name in ("torch zip", "sealed")):
                print(f"replay: {name}:{seed}:{number}", file=sys.stderr)
            rows.setdefault(kind, Counter()).update(tally)
        counts[name] = rows
    return counts


def _originals(path: Path) -> dict[str, Any]:
    import intact

    return dict(intact.salvage(path).tensors)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the cases, prints the counts and keeps them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="cases in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the files lie; a temporary one where none is given")
    parser.add_argument("--json", type=Path, default=place_of(NAME), help="where the counts are kept")
    parser.add_argument("--replay", metavar="CASE", help="run one case again")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        files = made(Path(folder))
        if args.replay:
            name, seed, number = args.replay.rsplit(":", 2)
            kind, damage = drawn(files[name], name, int(seed), int(number))
            print(kind, damage.begin, len(damage.content), dict(asked(files[name], _originals(files[name].path), kind, damage)))
            return 0
        counts = run(files, args.count, args.seed)
        total: Counter[str] = Counter()
        for name, rows in counts.items():
            print(table(name, COLUMNS, rows), end="\n\n")
            for row in rows.values():
                total.update(row)
        flips = counts["torch zip"].get("one bit flipped", Counter())
        silent = sum(row["silent"] for name in ("torch zip", "sealed") for row in counts[name].values())
        answer = (
            f"{total['wrong as whole']} wrong tensors handed out as proven whole in {total['cases']:,} cases; "
            f"archives with CRC-32 and sealed files: {silent} silent; "
            f"single flips restored: {flips['restored']:,} of {flips['flips']:,}, wrongly {flips['restored wrong']}"
        )
        print(answer)
        plain = {name: {kind: dict(row) for kind, row in rows.items()} for name, rows in counts.items()}
        keep(args.json, "Is damage noticed, and is what salvage hands out right?", answer, Path(folder), {"counts": plain})
    return 1 if total["wrong as whole"] or silent else 0


if __name__ == "__main__":
    sys.exit(main())
