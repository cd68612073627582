"""Checkpoint files written by other people's programs: what we read equals what the manifest recorded of each.

The recorded digests were made by torch itself where torch reads the file, and by a reader that shares no code with this package
where it does not. All files are read in this process; the hostile ones in a process of their own, which fails at the first
import, exec, subprocess, connection or write that their content causes. The corpus is not part of the project.
"""

from __future__ import annotations

import functools
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import intact

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"

pytestmark = [
    pytest.mark.skipif(not (CORPUS / "MANIFEST.json").exists(), reason="the corpus of checkpoint files is not here"),
    # torch warns of its own functions when it makes tensors of these kinds
    pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning"),
]


@functools.cache
def records() -> dict[str, dict[str, Any]]:
    """The records of all files that are there, by path."""
    if not (CORPUS / "MANIFEST.json").exists():
        return {}
    every = json.loads((CORPUS / "MANIFEST.json").read_text())
    return {record["file"]: record for record in every if record.get("file") and (CORPUS / record["file"]).exists()}


def files(*, with_digests: bool) -> list[str]:
    """Paths of the honest files that have digests of their tensors, or of those that have none."""
    return sorted(
        name
        for name, record in records().items()
        if not record.get("unsafe") and with_digests is ("values" in record or "tensor_values" in record)
    )


def line_of(tensor: torch.Tensor) -> str:
    """Dtype, shape and digest of one tensor, as the manifest writes them."""
    plain = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach().resolve_conj().resolve_neg())
    raw = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    shape = "x".join(map(str, plain.shape))
    return f"{str(plain.dtype).removeprefix('torch.')}\t{shape}\t{hashlib.sha256(raw).hexdigest()}"


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether the manifest counts a tensor: not sparse, quantized, nested or meta."""
    return tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta and not tensor.is_nested


def tensors_in(node: Any, name: str, above: frozenset[int], *, foreign: bool) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields every tensor under a path, through mappings and sequences, and through foreign records where that is asked for."""
    if isinstance(node, torch.Tensor):
        if is_plain(node):
            yield name, node
    elif id(node) not in above:
        for key, value in members_of(node, name, foreign=foreign):
            yield from tensors_in(value, key, above | {id(node)}, foreign=foreign)


def members_of(node: Any, name: str, *, foreign: bool) -> Iterator[tuple[str, Any]]:
    """Yields what is directly inside an object, with its path."""
    if isinstance(node, dict):
        yield from ((f"{name}.{key}" if name else str(key), value) for key, value in node.items())
    elif isinstance(node, (list, tuple, set, frozenset)):
        yield from ((f"{name}[{position}]", value) for position, value in enumerate(node))
    elif foreign and isinstance(node, intact.Foreign):
        yield from ((f"{name}.{part}", getattr(node, part)) for part in ("args", "state", "items"))


def digest(lines: list[str]) -> str:
    """One digest for many lines."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


@pytest.mark.parametrize("name", files(with_digests=True))
def test_every_tensor_of_a_file_is_the_recorded_one(name: str) -> None:
    """Names, dtypes, shapes and bytes, from files of ten years of torch."""
    record = records()[name]
    described = intact.inspect(CORPUS / name)
    state = intact.read(CORPUS / name)
    if "values" in record:
        lines = [f"{key}\t{line_of(tensor)}" for key, tensor in tensors_in(state, "", frozenset(), foreign=False)]
        assert (len(lines), digest(lines)) == (record["values"]["named"], record["values"]["digest"])
    if "tensor_values" in record:
        objects = {id(tensor): tensor for _, tensor in tensors_in(state, "", frozenset(), foreign=True)}
        lines = [line_of(tensor) for tensor in objects.values()]
        assert (len(lines), digest(lines)) == (record["tensor_values"]["count"], record["tensor_values"]["digest"])
        assert not lines or described.found.tensors or described.found.foreign


NAMED_BY_KIND = {
    "lfs-pointer": "file/lfs-pointer",
    "torchscript": "file/torchscript-archive",
    "torchscript-mobile": "file/torchscript-archive",
    "torch-export (.pt2)": "file/exported-program",
    "sb3-zip": "file/wrapped-archive",
    "tar.gz-archive": "file/wrapped-archive",
    "torchserve-mar": "file/wrapped-archive",
    "not-pytorch (TorchSharp native)": "file/not-a-checkpoint",
    "dcp-sidecar": "file/not-a-checkpoint",
}


@pytest.mark.parametrize("name", files(with_digests=False))
def test_every_other_file_is_described_or_named_for_what_it_is(name: str) -> None:
    """Kinds that are not read yet are told from damage, with something to do."""
    wanted = NAMED_BY_KIND.get(records()[name]["kind"])
    try:
        report = intact.inspect(CORPUS / name)
    except intact.CannotRead as error:
        code, help_text = error.code, error.help
    else:
        assert report.source.container
        code, help_text = wanted or "", "-"
    assert help_text
    assert wanted is None or code == wanted


FOLDERS = [
    "generated/torch_2_13/sharded_bin",
    "generated/torch_2_13/sharded_safetensors",
    "derived/minilm_layer_2_sharded",
]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_sharded_folder_holds_what_its_shards_hold(name: str) -> None:
    """The set is the union of its files, without a word to say about them."""
    folder = CORPUS / name
    whole = intact.read(folder)
    parts: dict[str, torch.Tensor] = {}
    for shard in sorted(folder.glob("*-of-*")):
        parts |= intact.read(shard)
    assert set(whole) == set(parts)
    assert all(line_of(whole[key]) == line_of(parts[key]) for key in parts)
    report = intact.inspect(folder)
    assert (report.source.container, report.findings) == ("sharded", ())
    assert set(report.found.tensors) == set(parts)


IN_A_PROCESS_OF_ITS_OWN = """
import json, sys
import torch
import intact
events, on = [], False
watched = ("exec", "compile", "import", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect",
           "socket.getaddrinfo", "os.remove", "os.rename", "os.mkdir", "shutil.rmtree", "ctypes.dlopen", "pty.spawn")

def hook(event, args):
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if on and (event in watched or writes):
        events.append(event + " " + str(args)[:150])

def look(path):
    try:
        intact.inspect(path)
        intact.read(path)
    except intact.IntactError as error:
        str(error)

sys.addaudithook(hook)
caused = {}
for path in json.load(sys.stdin):
    look(path)  # once without watching, so that our own late imports are done
    events.clear()
    on = True
    look(path)
    on = False
    if events:
        caused[path] = list(events)
print("@@" + json.dumps(caused))
"""


def test_hostile_files_cause_nothing_but_an_answer() -> None:
    """Each of them takes over the process that unpickles it; here they are described, or refused with a typed error."""
    hostile = sorted(str(CORPUS / name) for name, record in records().items() if record.get("unsafe"))
    assert hostile
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS_OF_ITS_OWN], input=json.dumps(hostile), capture_output=True, text=True, timeout=240
    )
    assert "@@" in done.stdout, done.stderr[-2000:]
    assert json.loads(done.stdout.rpartition("@@")[2]) == {}
