"""Files that keep a CRC-32 of every record are held against it, by `verify`, `check` and `load_into`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import intact
from intact.containers import open_container
from intact.core.container import Storage


@pytest.fixture
def model() -> torch.nn.Module:
    """Two layers."""
    return torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.Linear(16, 4))


@pytest.fixture
def path(tmp_path: Path, model: torch.nn.Module) -> Path:
    """As torch writes it."""
    torch.save(model.state_dict(), tmp_path / "model.pth")
    return tmp_path / "model.pth"


def _flip(path: Path, key: str, byte: int, bit: int) -> int:
    container = open_container(path)
    storage = container.record(key).storage
    container.close()
    assert isinstance(storage, Storage)
    raw = bytearray(path.read_bytes())
    raw[storage.begin + byte] ^= 1 << bit
    path.write_bytes(raw)
    return storage.begin + byte


def test_a_whole_file_is_verified_by_its_own_checksums(path: Path) -> None:
    """Nobody has to seal it first."""
    report = intact.verify(path)
    assert report.verdict == "intact"
    assert report.source.integrity.kind == "crc32"
    assert report.source.integrity.checked_bytes > 16 * 16 * 4


def test_a_flipped_bit_is_named_by_tensor_byte_and_bit(path: Path, model: torch.nn.Module) -> None:
    """torch loads it without a word."""
    place = _flip(path, "0.weight", 101, 6)
    (finding,) = intact.check(path, model).findings
    assert (finding.code, finding.keys) == ("file/checksum-mismatch", ("0.weight",))
    assert f"bit 6 of byte {place:,}" in finding.headline
    assert finding.evidence["records"][0]["single_flip"]["byte"] == 101


def test_a_damaged_file_is_not_loaded(path: Path, model: torch.nn.Module) -> None:
    """All or nothing."""
    _flip(path, "1.bias", 3, 0)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(intact.LoadRefused):
        intact.load_into(model, path)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_file_without_checksums_says_so(tmp_path: Path, model: torch.nn.Module) -> None:
    """Zero is not a checksum that everything fails."""
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(model.state_dict(), tmp_path / "none.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    report = intact.verify(tmp_path / "none.pth")
    assert [finding.code for finding in report.findings] == ["file/unsealed"]
    assert intact.check(tmp_path / "none.pth", model).verdict == "intact"
