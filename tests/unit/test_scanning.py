"""A scan finds what must not be unpickled, in any place of any file, and takes no harmless file for one."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.fuzz_mutations import mutated
from click.testing import CliRunner, Result
from safetensors.torch import save_file

from intact import scan_fast
from intact.cli.main import main
from intact.scan_fast import is_ordinary
from intact.scan_full import looked_at
from intact.scanning import Scanned, files_in, scan, scan_file, worst


class Payload:
    """What an attacker saves."""

    def __reduce__(self) -> Any:
        return os.system, ("exit 0",)


def run(*words: object) -> Result:
    """Runs the command."""
    return CliRunner().invoke(main, ["scan", *(str(word) for word in words)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files as they lie in a folder of downloads."""
    torch.save(torch.nn.Linear(3, 2).state_dict(), tmp_path / "plain.pth")
    save_file({"w": torch.ones(2)}, tmp_path / "plain.safetensors")
    (tmp_path / "README.md").write_text("# A model\n")
    (tmp_path / "deep").mkdir()
    torch.save({"w": torch.ones(2), "x": Payload()}, tmp_path / "deep" / "bad.pth")
    (tmp_path / "deep" / "bad.pkl").write_bytes(pickle.dumps(Payload()))
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    return tmp_path


def test_the_command_tells_what_is_unsafe_and_where(folder: Path) -> None:
    """The status is for scripts, the names for people."""
    result = run(folder)
    assert result.exit_code == 1
    assert "bad.pth: unsafe" in result.output
    assert "system" in result.output
    assert "5 files: 2 unsafe, 2 clean, 1 no checkpoints" in result.output
    assert "  unsafe  safety/code-execution      2\n" in result.output
    assert "state" not in run(folder, "--quiet").output
    assert run(folder / "plain.pth", folder / "plain.safetensors").exit_code == 0
    assert run(folder / "missing").exit_code == 2


def test_json_has_one_line_for_each_file(folder: Path) -> None:
    """Tools read it while the scan goes on."""
    lines = [json.loads(line) for line in run(folder, "--json").stdout.splitlines()]
    assert {Path(line["path"]).name: line["state"] for line in lines} == {
        "README.md": "other",
        "plain.pth": "clean",
        "plain.safetensors": "clean",
        "bad.pth": "unsafe",
        "bad.pkl": "unsafe",
    }
    assert next(line for line in lines if line["path"].endswith("bad.pth"))["findings"][0]["code"] == "safety/code-execution"


def test_sarif_names_rule_file_and_place(folder: Path) -> None:
    """Code hosts show it beside the file."""
    data = json.loads(run(folder, "--output-format", "sarif").stdout)
    assert data["version"] == "2.1.0"
    (one,) = data["runs"]
    assert [rule["id"] for rule in one["tool"]["driver"]["rules"]] == ["safety/code-execution"]
    assert len(one["results"]) == 2
    for result in one["results"]:
        assert result["level"] == "error"
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"].endswith((".pth", ".pkl"))
        assert place["region"]["byteOffset"] >= 0


def test_unknown_names_fail_where_that_is_asked(tmp_path: Path) -> None:
    """They may be harmless; a strict gate lets none through."""

    raw = b"\x80\x02csomeones.code\nNet\n)R."
    (tmp_path / "model.pkl").write_bytes(raw)
    assert run(tmp_path).exit_code == 0
    assert run(tmp_path, "--fail-on", "suspect").exit_code == 1


def test_many_files_are_told_in_order_by_several_processes(tmp_path: Path) -> None:
    """The order does not depend on who was faster."""
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(2)}, buffer)
    for number in range(700):
        (tmp_path / f"{number:04}.pth").write_bytes(buffer.getvalue())
    (tmp_path / "0333.pth").write_bytes(pickle.dumps(Payload()))
    found = list(scan([str(tmp_path)], processes=2))
    assert [Path(each.path).name for each in found] == [f"{number:04}.pth" for number in range(700)]
    assert [Path(each.path).name for each in found if each.state != "clean"] == ["0333.pth"]
    assert worst(found) == "unsafe"


def test_files_are_met_once_and_links_to_folders_are_not_followed(folder: Path) -> None:
    """A link to its own folder would have no end."""
    files = list(files_in([str(folder)]))
    assert len(files) == len(set(files)) == 5
    with pytest.raises(FileNotFoundError):
        list(scan([str(folder), str(folder / "missing")]))


def zipped(**members: bytes) -> bytes:
    """An archive of torch's layout."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


HARMLESS = pickle.dumps({"epoch": 3}, 2)
HARMFUL = pickle.dumps(Payload(), 2)


@pytest.mark.parametrize(
    "data",
    [
        zipped(**{"data.pkl": HARMFUL}),
        zipped(**{"data.pkl": HARMLESS[:-1] + HARMFUL[2:]}),
        zipped(**{"data.pkl": HARMLESS, "data/0": HARMFUL}),
        zipped(**{"data.pkl": HARMLESS, "version": HARMFUL}),
        zipped(**{"data.pkl": HARMLESS, "other.pkl": HARMFUL}),
        zipped(**{"data.pkl": pickle.dumps(Payload(), 4)}),
        zipped(**{"data.pkl": b"\x80\x02(S'exit 0'\nios\nsystem\n."}),
        zipped(**{"data.pkl": b"\x80\x02Xc\x00\x00\x00" + b"c" * 99 + b"os\nsystem\nX\x01\x00\x00\x001\x85R."}),
        zipped(**{"data.pkl": HARMLESS}) + HARMFUL,
    ],
)
def test_no_harmful_file_is_passed_as_ordinary(data: bytes, tmp_path: Path) -> None:
    """The quick look may be wrong in one direction only."""
    assert not is_ordinary(data)
    (tmp_path / "file").write_bytes(data)
    behind = data.endswith(HARMFUL)  # nobody who opens an archive reads what stands behind it
    assert scan_file(str(tmp_path / "file")).state in ("unsafe", "other", "damaged", *(["clean"] if behind else []))


def test_what_the_quick_look_passes_names_nothing_to_the_full_reader(tmp_path: Path) -> None:
    """Thousands of damaged archives, and what each of them names."""
    buffer = io.BytesIO()
    torch.save(torch.nn.Linear(3, 2).state_dict(), buffer)
    plain = buffer.getvalue()
    assert is_ordinary(plain)
    path, passed = tmp_path / "file", 0
    rng = random.Random(0)
    for number in range(1500):
        content = mutated("torch-zip", f"0:{number}", plain)[1] if number % 2 else _spliced(plain, rng)
        if is_ordinary(content):
            passed += 1
            path.write_bytes(content)
            state, _, findings = looked_at(str(path), content[:512])
            names = [name for finding in findings for name in finding["evidence"].get("names", ())]
            broken = names and all(not name.isprintable() for name in names)  # no module or class is called so
            assert state in ("clean", "damaged", "other") or broken, (number, findings)
    assert passed > 20


def _spliced(plain: bytes, rng: random.Random) -> bytes:
    """The archive with bytes of a harmful pickle written over some place."""
    at = rng.randrange(60, 500)
    begin = rng.randrange(len(HARMFUL))
    piece = HARMFUL[begin : begin + rng.randrange(1, 30)]
    return plain[:at] + piece + plain[at + len(piece) :]


def test_a_scanned_file_is_plain_data() -> None:
    """It is written as JSON."""
    row = Scanned("a", "clean", "torch-zip")
    assert json.loads(json.dumps(row.to_dict()))["findings"] == []


def zips(count: int) -> list[bytes]:
    """Returns small checkpoints of one layout, other values and other names of their folder in each."""
    made = []
    for number in range(count):
        buffer = io.BytesIO()
        state = {"weight": torch.full((3, 2), number + 0.5), "bias": torch.full((3,), -number - 0.5)}
        torch.save(state, buffer)
        made.append(buffer.getvalue())
    return made


def test_a_file_like_others_is_passed_by_one_look() -> None:
    """The second of a layout makes a pattern, and values, checksums and names of folders are no part of it."""
    scan_fast._ALIKE.clear()
    first, second, third = zips(3)
    assert all(map(scan_fast.is_ordinary, (first, second)))
    (pattern,) = scan_fast._ALIKE.values()
    assert pattern is not None
    assert pattern.fullmatch(third) is not None
    assert pattern.fullmatch(third.replace(b"archive/", b"another/")) is not None
    assert pattern.fullmatch(third.replace(b"archive/", b"ar\n/ive/")) is None


def test_the_pattern_passes_nothing_that_the_whole_judgement_would_not() -> None:
    """Every byte of the file, changed in several ways."""
    scan_fast._ALIKE.clear()
    data = zips(3)[2]
    for other in zips(2):
        scan_fast.is_ordinary(other)
    (key, pattern), *_ = scan_fast._ALIKE.items()
    assert pattern is not None
    passed = 0
    for place in range(len(data)):
        for change in (1, 0x80, 0xFF):
            changed = data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]
            if pattern.fullmatch(changed) is not None:
                passed += 1
                scan_fast._ALIKE.clear()
                assert scan_fast.is_ordinary(changed), f"byte {place} changed by {change}"
                scan_fast._ALIKE[key] = pattern
    assert 50 < passed < len(data) * 2


def test_the_pattern_passes_no_storage_that_begins_as_a_pickle() -> None:
    """Whoever unpickles it by hand, or looks for pickles in it, would run it."""
    scan_fast._ALIKE.clear()
    data = zips(3)[2]
    for other in zips(2):
        scan_fast.is_ordinary(other)
    begin = data.index(torch.full((3, 2), 2.5).numpy().tobytes())
    harmful = data[:begin] + b"\x80\x02cos\nsystem\n" + data[begin + 13 :]
    assert scan_fast.is_ordinary(data)
    assert not scan_fast.is_ordinary(harmful)


@pytest.mark.parametrize("spare", [1, 20])
def test_unusual_files_are_told_whoever_looks_at_them(tmp_path: Path, spare: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few are left to the process that started the others, many are looked at where they are met."""
    monkeypatch.setattr("intact.scanning.SMALL_COUNT", 4)
    payload = b"cos\nsystem\n(S'true'\ntR."
    for number in range(40):
        (tmp_path / f"{number:02}.pth").write_bytes(zips(1)[0])
    for number in range(spare):
        (tmp_path / f"bad{number:02}.pkl").write_bytes(payload)
    found = list(scan([str(tmp_path)], processes=2))
    assert [Path(each.path).name for each in found] == sorted(path.name for path in tmp_path.iterdir())
    assert sum(each.state == "unsafe" for each in found) == spare
    assert sum(each.state == "clean" for each in found) == 40
