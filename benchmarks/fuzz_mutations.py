"""Checkpoints of every format, and the ways in which `fuzz_containers` damages them.

Damage follows the structure where that leads deeper: pickle opcodes are exchanged for others, length fields become interesting
numbers, digits of a header change. Every change is drawn from one generator of random numbers, so that a seed repeats it.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import pickle
import pickletools
import random
import re
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Mutate = Callable[[random.Random, bytes], bytes]

NUMBERS = (0, 1, 2, 7, 8, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
"""Numbers at which arithmetic changes its mind."""


def originals() -> dict[str, dict[str, bytes]]:
    """Returns small genuine checkpoints: container to files by name, the first of which is opened and damaged."""
    import torch
    from safetensors.torch import save

    shared = torch.arange(24.0).reshape(4, 6)
    state: dict[str, Any] = {
        "model": {"embed.weight": shared, "head.weight": shared, "norm.bias": torch.ones(6, dtype=torch.bfloat16)},
        "view": shared.t()[1:3],
        "steps": torch.tensor(7),
        "sparse": torch.eye(3).to_sparse(),
        "parameter": torch.nn.Parameter(torch.zeros(2, 2)),
        "options": {"lr": 1e-3, "betas": (0.9, 0.999), "name": "adam", "flags": [True, None, 3]},
    }
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    first, second = {"a.weight": torch.ones(3, 2), "a.bias": torch.zeros(3)}, {"b.weight": torch.ones(5, dtype=torch.int16)}
    weight_map = {**dict.fromkeys(first, "m-00001-of-00002.safetensors"), **dict.fromkeys(second, "m-00002-of-00002.safetensors")}
    index = json.dumps({"metadata": {"total_size": 46}, "weight_map": weight_map}).encode()
    metadata, parts = _dcp({"model": first, "more": {"b": second["b.weight"], "epoch": 3, "list": [1, "two"]}})
    return {
        "dcp": {".metadata": metadata, "__0_0.distcp": parts},
        "torchscript": {"m.pt": _scripted(model)},
        "exported-program": {"m.pt2": _exported(model.eval())},
        "unpacked-archive": _unpacked(_saved(first)),
        "torch-zip": {"m.pth": _saved(state)},
        "torch-zip-model": {"m.pth": _saved(model)},
        "torch-legacy": {"m.pth": _saved(state, _use_new_zipfile_serialization=False)},
        "torch-legacy-model": {"m.pth": _saved(model, _use_new_zipfile_serialization=False)},
        "torch-tar": {"m.tar": _torch_tar()},
        "pickle": {"m.pkl": pickle.dumps(state, 2)},
        "pickle-0": {"m.pkl": pickle.dumps({**state, "ünï": "ü\n\\"}, 0)},
        "pickle-4": {"m.pkl": pickle.dumps({"arrays": {"w": shared.numpy()}, "model": model}, 4)},
        "joblib": {"m.joblib": _dumped({"w": shared.numpy(), "o": shared.numpy().astype(object), "n": 3})},
        "gzip": {"m.pth.gz": gzip.compress(_saved(first), mtime=0)},
        "torch-package": {"m.pt": _package({"one": first, "two": model})},
        "rank-files": dict(enumerate_ranks(first)),
        "sealed": {"m.safetensors": _sealed(model)},
        "safetensors": {"m.safetensors": save({**first, **second}, metadata={"format": "pt", "note": 'a "quoted" one'})},
        "sharded": {
            "m.safetensors.index.json": index,
            "m-00001-of-00002.safetensors": save(first, metadata={"format": "pt"}),
            "m-00002-of-00002.safetensors": save(second, metadata={"format": "pt"}),
        },
    }


def _dumped(value: Any) -> bytes:
    import joblib

    buffer = io.BytesIO()
    joblib.dump(value, buffer)
    return buffer.getvalue()


def _package(content: dict[str, Any]) -> bytes:
    from torch.package.package_exporter import PackageExporter

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with PackageExporter(buffer) as package:
            package.extern(["torch.**"])
            for name, value in content.items():
                package.save_pickle(name, "m.pkl", value)
    return buffer.getvalue()


def _sealed(model: Any) -> bytes:
    import tempfile

    import intact

    with tempfile.TemporaryDirectory() as folder:
        intact.save(model, Path(folder) / "m.safetensors")
        return (Path(folder) / "m.safetensors").read_bytes()


def enumerate_ranks(state: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Yields what two processes save of tensors that are cut over them: name and content."""
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor
    from torch.testing._internal.distributed.fake_pg import FakeStore

    for rank in range(2):
        dist.init_process_group("fake", rank=rank, world_size=2, store=FakeStore())
        try:
            mesh = init_device_mesh("cpu", (2,))
            cut = {key: distribute_tensor(value, mesh, [Shard(0)], src_data_rank=None) for key, value in state.items()}
            yield f"rank_{rank}.pt", _saved(cut)
        finally:
            dist.destroy_process_group()


def _scripted(model: Any) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(model), buffer)
    return buffer.getvalue()


def _exported(model: Any) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.export.save(torch.export.export(model, (torch.ones(2, 3),)), buffer)
    return buffer.getvalue()


def _unpacked(archive: bytes) -> dict[str, bytes]:
    """The records as files, of which the pickle is damaged."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        found = {name.partition("/")[2]: opened.read(name) for name in opened.namelist()}
    return {"data.pkl": found.pop("data.pkl"), **found}


def _dcp(state: dict[str, Any]) -> tuple[bytes, bytes]:
    """The two files of a folder that one process writes."""
    import tempfile
    from pathlib import Path

    from torch.distributed.checkpoint.state_dict_saver import save as save_distributed

    with tempfile.TemporaryDirectory() as folder:
        save_distributed(state, checkpoint_id=folder, no_dist=True)
        return (Path(folder) / ".metadata").read_bytes(), (Path(folder) / "__0_0.distcp").read_bytes()


def _saved(value: Any, **options: Any) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def _torch_tar() -> bytes:
    """Returns a file as torch before 0.1.11 wrote it: one storage, two tensors that share it."""
    storages = pickle.dumps(1, 2) + b"\x80\x02K\x05U\x03cpuctorch\nFloatStorage\n\x87." + struct.pack("<q6f", 6, *range(6))
    storages += pickle.dumps([], 2)
    tensors = pickle.dumps(2, 2)
    for key, sizes in ((10, (2, 3, 3, 1)), (11, (6, 1))):
        tensors += b"\x80\x02K%cK\x05ctorch\nFloatTensor\n\x87." % key
        tensors += struct.pack(f"<i4x{len(sizes)}qq", len(sizes) // 2, *sizes, 0)
    objects = b"\x80\x02}q\x00(U\x06weightU\x0210QU\x04biasU\x0211Qu."
    members = {"sys_info": pickle.dumps({"little_endian": True}, 2), "storages": storages, "tensors": tensors, "pickle": objects}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


# --- damage to any bytes


def flip_bits(rng: random.Random, data: bytes) -> bytes:
    """A few bits change."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def set_bytes(rng: random.Random, data: bytes) -> bytes:
    """A run of bytes becomes zero, ones or noise."""
    changed = bytearray(data)
    begin, count = rng.randrange(len(changed)), rng.choice((1, 2, 4, 8, 64, 512))
    fill = rng.choice((b"\0" * count, b"\xff" * count, rng.randbytes(count)))
    changed[begin : begin + count] = fill[: len(changed[begin : begin + count])]
    return bytes(changed)


def truncate(rng: random.Random, data: bytes) -> bytes:
    """The end is missing, or the begin."""
    at = rng.randrange(1, max(2, len(data)))
    return data[:at] if rng.random() < 0.8 else data[at:]


def splice(rng: random.Random, data: bytes) -> bytes:
    """A part is repeated, removed or moved somewhere else."""
    begin, count = rng.randrange(len(data)), rng.choice((1, 3, 10, 100, 1000))
    part, to = data[begin : begin + count], rng.randrange(len(data))
    if rng.random() < 0.3:
        return data[:begin] + data[begin + count :]
    return data[:to] + part * rng.choice((1, 1, 2, 50)) + data[to + rng.choice((0, len(part))) :]


def edit_lengths(rng: random.Random, data: bytes) -> bytes:
    """A number of 2, 4 or 8 bytes becomes an interesting one, most often behind a signature of the format."""
    changed = bytearray(data)
    width = rng.choice((2, 4, 8))
    marks = [match.start() for match in re.finditer(rb"PK[\x01-\x07][\x02-\x08]|ustar|\x8a|X|\x95|FloatStorage", data)] or [0]
    at = min(rng.choice(marks) + rng.randrange(48) if rng.random() < 0.8 else rng.randrange(len(data)), len(data) - width)
    at = max(at, 0)
    before = int.from_bytes(data[at : at + width], "little")
    number = rng.choice((*NUMBERS, len(data), len(data) - at, before + 1, before - 1, before * 2, rng.getrandbits(64)))
    changed[at : at + width] = (number % (1 << 8 * width)).to_bytes(width, "little")
    return bytes(changed)


def edit_text(rng: random.Random, data: bytes) -> bytes:
    """A number or a word of a text header changes; the length in front of a header follows."""
    runs = list(re.finditer(rb"-?\d+|\"[^\"]{0,40}\"|[\[\]{},:]", data[:4096]))
    if not runs:
        return flip_bits(rng, data)
    run = rng.choice(runs)
    other = rng.choice(runs).group()
    number = str(rng.choice((*NUMBERS, -1, 10**30))).encode()
    new = rng.choice(
        (number, other, b"", run.group() * 2, b"null", b"1e3", b'"\\u0000"', b"[" * 500, b'"../x"', b'"__metadata__"')
    )
    changed = data[: run.start()] + new + data[run.end() :]
    if len(data) > 9 and data[8:9] == b"{" and rng.random() < 0.9:
        length = int.from_bytes(data[:8], "little") + len(new) - len(run.group())
        changed = min(max(length, 0), 2**64 - 1).to_bytes(8, "little") + changed[8:]
    return changed


# --- damage to pickles


def edit_pickle(rng: random.Random, data: bytes) -> bytes:
    """Opcodes of the objects' pickle are exchanged, repeated, removed or given other arguments; the file around it fits again."""
    if data[:2] == b"PK":
        return _repacked(rng, data)
    if data[:2] == b"\x1f\x8b":
        try:
            inside = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):  # damaged before
            return flip_bits(rng, data)
        return gzip.compress(edit_pickle(rng, inside), mtime=0)
    starts = [match.start() for match in re.finditer(rb"\x80[\x02-\x05]", data)] or [0]
    begin = rng.choice(starts)
    end = _pickle_end(data, begin)
    return data[:begin] + _edited(rng, data[begin:end]) + data[end:]


def _repacked(rng: random.Random, data: bytes) -> bytes:
    """Python packs the archive again, stored as torch does, sometimes deflated as torch reads too."""
    buffer = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", rng.choice((0, 0, 0, 8))) as new:
            for name in dict.fromkeys(old.namelist()):
                content = old.read(name)
                new.writestr(name, _edited(rng, content) if name.endswith(".pkl") else content)
    except Exception:  # noqa: BLE001 - what Python cannot unpack is damaged otherwise
        return flip_bits(rng, data)
    return buffer.getvalue()


def _pickle_end(data: bytes, begin: int) -> int:
    end = begin
    try:
        for _, _, position in pickletools.genops(data[begin:]):
            end = begin + (position or 0) + 1
    except Exception:  # noqa: BLE001 - a damaged pickle ends where it stops to be one
        pass
    return max(end, begin + 1)


def _edited(rng: random.Random, content: bytes) -> bytes:
    changed = content
    for _ in range(rng.choice((1, 1, 2, 3))):
        cuts = _operations(changed[:EDITED_LIMIT_BYTES])
        if len(cuts) < 3:
            return flip_bits(rng, changed)
        at = rng.randrange(len(cuts) - 1)
        begin, end = cuts[at], cuts[at + 1]
        changed = changed[:begin] + _other_operation(rng, changed, cuts, begin, end) + changed[end:]
    return changed


def _operations(content: bytes) -> list[int]:
    """Returns where the operations of a pickle begin, and where the last one does."""
    cuts: list[int] = []
    with contextlib.suppress(Exception):  # as far as it is a pickle
        cuts.extend(position for _, _, position in pickletools.genops(content) if position is not None)
    return cuts


def _other_operation(rng: random.Random, content: bytes, cuts: list[int], begin: int, end: int) -> bytes:
    operation = content[begin:end]
    kind = rng.randrange(7)
    if kind == 0:  # another operation of the same length
        return rng.choice(pickletools.opcodes).code.encode("latin-1") + operation[1:]
    if kind == 1:  # another argument
        number = rng.choice(NUMBERS)
        return operation[:1] + (number % (1 << 8 * max(1, len(operation) - 1))).to_bytes(max(1, len(operation) - 1), "little")
    if kind == 2:
        return operation * (rng.choice((2, 3, 100)) if len(operation) < 20 else 2)
    if kind == 3:
        return b""
    if kind == 4:  # an operation from elsewhere
        other = rng.randrange(len(cuts) - 1)
        return operation + content[cuts[other] : cuts[other + 1]]
    if kind == 5:  # names that matter, called
        return rng.choice(_CALLS) + operation
    return operation + rng.choice(
        (b"(", b"t", b"R", b"b", b"Q", b"\x81", b"2", b"0", b"h\x00", b"q\x00", b"\x94", b"s", b"u", b"e", b".")
    )


_CALLS = (
    b"cos\nsystem\nX\x04\x00\x00\x00true\x85R",
    b"cbuiltins\neval\nX\x01\x00\x00\x001\x85R",
    b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x06\x00\x00\x00rot_13\x86R",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ccollections\nOrderedDict\n)R",
    b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R",
    b"cbuiltins\nset\n",
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"ctorch.storage\n_load_from_bytes\nB\x04\x00\x00\x00\x80\x02N.\x85R",
)

EDITED_LIMIT_BYTES = 1 << 16
"""How much of a pickle is edited, so that repeated edits stay quick."""

STRATEGIES: dict[str, Mutate] = {
    "flip_bits": flip_bits,
    "set_bytes": set_bytes,
    "truncate": truncate,
    "splice": splice,
    "edit_lengths": edit_lengths,
    "edit_text": edit_text,
    "edit_pickle": edit_pickle,
}

SUITED = {"safetensors": ("edit_text",) * 4, "sharded": ("edit_text",) * 4}
"""Strategies that are drawn more often for a container; for all others that of pickles is."""


def mutated(container: str, seed: str, data: bytes) -> tuple[str, bytes]:
    """Returns the strategies that a seed draws, and the damaged bytes."""
    rng = random.Random(seed)
    choices = (*STRATEGIES, *SUITED.get(container, ("edit_pickle",) * 4))
    names = [rng.choice(choices) for _ in range(rng.choice((1, 1, 1, 2)))]
    for name in names:
        data = STRATEGIES[name](rng, data) or b"\0"
    return "+".join(names), data


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    """Writes the files of one checkpoint and returns the one to open."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / next(iter(files))
