"""What the kernel offers to watch another process: `ptrace` and the numbers of system calls, by way of ctypes.

Linux on x86_64 and aarch64 is known, kernel 5.3 or later (`PTRACE_GET_SYSCALL_INFO`). Only what a single thread's stop allows is
here: what it asks for, what becomes of the request, how it goes on. Who stops when and why is the matter of `stopping`.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

POKEUSER, SYSCALL, SEIZE, INTERRUPT = 6, 24, 0x4206, 0x4207
GETREGSET, SETREGSET, GET_SYSCALL_INFO = 0x4204, 0x4205, 0x420E
OPTIONS = 0x1 | 0x8 | 0x100000
"""`TRACESYSGOOD` tells system calls from signals, `TRACECLONE` follows threads, `EXITKILL` leaves nobody behind."""

WAIT_FOR_THREADS = 0x40000000
"""`__WALL`: threads are waited for like children."""

NT_PRSTATUS, NT_ARM_SYSTEM_CALL = 1, 0x404
NO_CALL = 0xFFFF_FFFF_FFFF_FFFF
PATH_LIMIT_BYTES = 4096

FORMS: Mapping[str, str] = {
    "open": "po",
    "creat": "p",
    "openat": "dpo",
    "openat2": "dp",
    "close": "f",
    "write": "f-n",
    "pwrite64": "f-n",
    "writev": "f",
    "pwritev": "f",
    "pwritev2": "f",
    "sendfile": "f",
    "copy_file_range": "--f",
    "truncate": "p",
    "ftruncate": "fn",
    "fallocate": "f--n",
    "fsync": "f",
    "fdatasync": "f",
    "sync_file_range": "f",
    "syncfs": "f",
    "rename": "pp",
    "renameat": "dpdp",
    "renameat2": "dpdp",
    "link": "pp",
    "linkat": "dpdp",
    "symlink": "-p",
    "symlinkat": "-dp",
    "unlink": "p",
    "unlinkat": "dp",
    "mkdir": "p",
    "mkdirat": "dp",
    "rmdir": "p",
    "chmod": "p",
    "fchmod": "f",
    "fchmodat": "dp",
    "fchmodat2": "dp",
    "flock": "f",
    "fcntl": "f",
}
"""The calls that are watched, with what their arguments are: `p` a path, `d` the folder of the path after it, `f` an open file,
`n` a number of bytes, `o` flags of opening."""

X86_64: Mapping[int, str] = {
    1: "write", 2: "open", 3: "close", 18: "pwrite64", 20: "writev", 40: "sendfile", 72: "fcntl", 73: "flock", 74: "fsync",
    75: "fdatasync", 76: "truncate", 77: "ftruncate", 82: "rename", 83: "mkdir", 84: "rmdir", 85: "creat", 86: "link",
    87: "unlink", 88: "symlink", 90: "chmod", 91: "fchmod", 257: "openat", 258: "mkdirat", 263: "unlinkat", 264: "renameat",
    265: "linkat", 266: "symlinkat", 268: "fchmodat", 277: "sync_file_range", 285: "fallocate", 296: "pwritev", 306: "syncfs",
    316: "renameat2", 326: "copy_file_range", 328: "pwritev2", 437: "openat2", 452: "fchmodat2",
}  # fmt: skip
"""Source: arch/x86/entry/syscalls/syscall_64.tbl of Linux 6.12."""

AARCH64: Mapping[int, str] = {
    25: "fcntl", 32: "flock", 34: "mkdirat", 35: "unlinkat", 36: "symlinkat", 37: "linkat", 38: "renameat", 45: "truncate",
    46: "ftruncate", 47: "fallocate", 52: "fchmod", 53: "fchmodat", 56: "openat", 57: "close", 64: "write", 66: "writev",
    68: "pwrite64", 70: "pwritev", 71: "sendfile", 82: "fsync", 83: "fdatasync", 84: "sync_file_range", 267: "syncfs",
    276: "renameat2", 285: "copy_file_range", 287: "pwritev2", 437: "openat2", 452: "fchmodat2",
}  # fmt: skip
"""Source: include/uapi/asm-generic/unistd.h of Linux 6.12."""

LOCKS = frozenset({6, 7, 37, 38, 1024})
"""Commands of `fcntl` that lock or lease a file; the others change nothing on disk and nothing for others."""

MACHINE = platform.machine()
CALLS: Mapping[int, str] = {"x86_64": X86_64, "aarch64": AARCH64}.get(MACHINE, {})


def unsupported() -> str:
    """Returns why processes cannot be watched on this kind of machine, "" where they can."""
    if sys.platform != "linux":
        return f"ptrace is used as Linux has it, and this is {sys.platform}"
    return "" if CALLS else f"the numbers of the system calls of {MACHINE} are not known"


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def request(what: int, thread: int, address: int = 0, data: int = 0) -> None:
    """Makes one request about one thread.

    Raises:
        ProcessLookupError: The thread is gone, or not stopped.
        PermissionError: This process may not watch others.
    """
    ctypes.set_errno(0)
    if _libc.ptrace(what, thread, address, data) == -1 and ctypes.get_errno():
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace {what:#x}: {os.strerror(number)}")


@dataclass(frozen=True, slots=True)
class Stop:
    """A thread at the door of a system call: at entry with number and arguments, at exit with neither."""

    at: Literal["entry", "exit"]
    number: int = -1
    arguments: tuple[int, ...] = ()


def stop(thread: int) -> Stop:
    """Returns at which door of a system call a thread stands."""
    buffer = ctypes.create_string_buffer(88)
    request(GET_SYSCALL_INFO, thread, len(buffer), ctypes.addressof(buffer))
    kind, *_ = buffer.raw
    if kind != 1:
        return Stop("exit")
    number, *arguments = struct.unpack_from("<7Q", buffer.raw, 24)
    return Stop("entry", number, tuple(arguments))


def cancel(thread: int) -> None:
    """At entry: the kernel will do nothing."""
    if MACHINE == "x86_64":
        request(POKEUSER, thread, 15 * 8, NO_CALL)
        return
    nothing = ctypes.c_int(-1)
    _register_set(SETREGSET, thread, NT_ARM_SYSTEM_CALL, nothing)


def answer(thread: int, value: int) -> None:
    """At exit: the thread is told this value, which is minus the number of the error where there is one."""
    if MACHINE == "x86_64":
        request(POKEUSER, thread, 10 * 8, value & NO_CALL)
        return
    _set_register(thread, 0, value)


def set_argument(thread: int, place: int, value: int) -> None:
    """At entry: the kernel gets another argument than the thread gave; only the third can be changed, a number of bytes."""
    assert place == 2
    if MACHINE == "x86_64":
        request(POKEUSER, thread, 12 * 8, value)
        return
    _set_register(thread, 2, value)


def _set_register(thread: int, register: int, value: int) -> None:
    registers = (ctypes.c_uint64 * 34)()
    _register_set(GETREGSET, thread, NT_PRSTATUS, registers)
    registers[register] = value & NO_CALL
    _register_set(SETREGSET, thread, NT_PRSTATUS, registers)


def _register_set(what: int, thread: int, kind: int, registers: ctypes.Array[ctypes.c_uint64] | ctypes.c_int) -> None:
    vector = (ctypes.c_uint64 * 2)(ctypes.addressof(registers), ctypes.sizeof(registers))
    request(what, thread, kind, ctypes.addressof(vector))


def text_at(process: int, address: int) -> str:
    """Returns the path that stands at an address of another process."""
    with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
        return os.fsdecode(os.pread(memory.fileno(), PATH_LIMIT_BYTES, address).partition(b"\0")[0])


def path_of(process: int, descriptor: int) -> str:
    """Returns the path of an open file of another process, "" where it has no such file."""
    signed = ctypes.c_int(descriptor & 0xFFFF_FFFF).value
    link = f"/proc/{process}/cwd" if signed == -100 else f"/proc/{process}/fd/{signed}"
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""
