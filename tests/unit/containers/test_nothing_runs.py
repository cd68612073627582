"""Hostile pickles, written opcode by opcode, in every container: they are described or refused, and nothing of them runs.

The files are opened and read in a process of their own, under an audit hook that sees every import, exec, subprocess, connection
and write. A second test proves that the payloads are sharp: Python's own unpickler runs them.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import zipfile
from pathlib import Path

READ = """
import sys
import torch, numpy, torch.storage
import intact
from intact.containers import open_container, impostors, plain_pickle, torch_legacy, torch_tar, torch_zip
from intact.reading import read_objects

watched = ("import", "exec", "compile", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect",
           "os.remove", "os.rename", "os.mkdir", "pickle.find_class", "ctypes.dlopen")
events, on = [], [False]

def hook(event, args):
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if on[0] and (event in watched or writes):
        events.append(f"{event} {args[:1]}")

def everything(path):
    try:
        container = open_container(path)
        names = [name.name for name in container.describe().foreign]
        read_objects(container)
        return names
    except intact.IntactError as error:
        return error.evidence.get("names")

for path in sys.argv[1:]:
    everything(path)
sys.addaudithook(hook)
for path in sys.argv[1:]:
    on[0] = True
    names = everything(path)
    on[0] = False
    print(path, names)
print("events", events)
sys.exit(bool(events))
"""


def text(value: str) -> bytes:
    """The opcode of a text."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


PAYLOADS = {
    "reduce": b"\x80\x02cos\nsystem\n" + text("touch ran") + b"\x85R.",
    "text protocol": b"cos\nsystem\n(S'touch ran'\ntR.",
    "inst": b"(S'touch ran'\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nS'touch ran'\no.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x09touch ran\x85R.",
    "newobj": b"\x80\x02csubprocess\nPopen\n](" + text("touch") + text("ran") + b"e\x85\x81.",
    "newobj_ex": b"\x80\x04\x8c\nsubprocess\x8c\x05Popen\x93](\x8c\x05touch\x8c\x03rane\x85}\x92.",
    "eval": b"\x80\x02c__builtin__\neval\n" + text("open('ran', 'w')") + b"\x85R.",
    "exec": b"\x80\x02c__builtin__\nexec\n" + text("import this; open('ran', 'w')") + b"\x85R.",
    "getattr": b"\x80\x02c__builtin__\ngetattr\ncimportlib\nimport_module\n" + text("os") + b"\x85R" + text("system") + b"\x86R"
    + text("touch ran") + b"\x85R.",
    "resolve_name": b"\x80\x02cpkgutil\nresolve_name\n" + text("os:system") + b"\x85R" + text("touch ran") + b"\x85R.",
    "build": b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81}" + text("__setstate__") + b"cos\nsystem\nsb"
    + text("touch ran") + b"b.",
    "popped": b"\x80\x02cos\nsystem\n" + text("touch ran") + b"\x85R0N.",
    "default factory": b"\x80\x02ccollections\ndefaultdict\ncos\ngetcwd\n\x85R.",
    "in bytes": b"\x80\x03ctorch.storage\n_load_from_bytes\nC" + bytes([32]) + b"cos\nsystem\n(S'touch ran'\ntR......\x85R.",
    "rebuild": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\ncm\nC\n" + text("touch ran") + b"\x85}tR.",
    "broken afterwards": b"\x80\x02cos\nsystem\n" + text("touch ran") + b"\x85Raaaa" + b"." * 40,
}  # fmt: skip


def write(container: str, payload: bytes, path: Path) -> Path:
    """A file of one container around a pickle."""
    if container == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("hostile/data.pkl", payload)
            archive.writestr("hostile/version", "3\n")
    elif container == "legacy":
        magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
        path.write_bytes(magic + payload + b"\x80\x02].")
    else:
        path.write_bytes(payload)
    return path


def read_apart(*paths: Path) -> subprocess.CompletedProcess[str]:
    """What reading gave, in a process of its own whose working folder is that of the files."""
    command = [sys.executable, "-c", READ, *(path.name for path in paths)]
    return subprocess.run(command, cwd=paths[0].parent, capture_output=True, text=True, timeout=120, check=False)


def test_nothing_in_a_hostile_file_runs(tmp_path: Path) -> None:
    """The promise that the whole package stands on."""
    paths = [
        write(container, payload, tmp_path / f"{container}-{number}.pth")
        for container in ("plain", "zip", "legacy")
        for number, payload in enumerate(PAYLOADS.values())
    ]
    done = read_apart(*paths)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n") == len(paths) + 1
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_the_payloads_are_real(tmp_path: Path) -> None:
    """Were they not, the test above could not fail."""
    program = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))"
    for name in ("reduce", "text protocol", "inst", "obj", "stack global", "eval", "exec", "resolve_name", "popped"):
        folder = tmp_path / name
        folder.mkdir()
        path = write("plain", PAYLOADS[name], folder / "hostile.pkl")
        command = [sys.executable, "-W", "ignore", "-c", program, path.name]
        subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
        assert (folder / "ran").exists(), name


def test_the_names_are_told(tmp_path: Path) -> None:
    """A user who is warned can decide; one who is only refused turns the check off."""
    told = {
        "resolve_name": "pkgutil.resolve_name",
        "popped": "os.system",
        "broken afterwards": "os.system",
        "default factory": "os.getcwd",
    }
    paths = [write("zip", PAYLOADS[name], tmp_path / f"{number}.pth") for number, name in enumerate(told)]
    lines = read_apart(*paths).stdout.splitlines()
    for expected, line in zip(told.values(), lines, strict=False):
        assert expected in line
