"""What each pickle opcode does to the machine, protocols 0 to 5. Nothing is imported and nothing is called.

Each operation takes the position after its opcode and returns the position of the next one. Whatever it reads from the file is
checked against the end of the data first; operands that do not fit raise, and the machine turns that into a typed error.

Source:
    CPython 3.11 `Lib/pickle.py` and `Lib/pickletools.py`.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from intact.containers.pickles.hashing import key_of
from intact.containers.pickles.joblib import WRAPPER, array_behind
from intact.containers.pickles.lines import (
    OBJECT_UNITS,
    float_line,
    get_line,
    global_name,
    int_line,
    line_at,
    long_line,
    push_text,
    put_line,
    string_line,
    unicode_line,
)
from intact.containers.pickles.machine import Machine, Operation
from intact.containers.pickles.whole import append_to, build_on, put_in
from intact.core.container import Foreign

VIEW_FROM_BYTES = 1 << 16
"""Byte strings from this length are views of the file instead of copies."""

_INT = Struct("<i")
_UINT = Struct("<I")
_USHORT = Struct("<H")
_ULONG = Struct("<Q")
_DOUBLE = Struct(">d")


def _unicode(m: Machine, at: int, count: int) -> int:
    m.stack.append(str(m.take(at, count), "utf-8", "surrogatepass"))
    return at + count


def _binunicode(m: Machine, at: int) -> int:
    end: int = at + 4 + _UINT.unpack_from(m.data, at)[0]
    if end > m.end:
        raise m.truncated(end)
    m.stack.append(str(m.data[at + 4 : end], "utf-8", "surrogatepass"))
    return end


def _bytes(m: Machine, at: int, count: int) -> int:
    raw = m.take(at, count)
    m.stack.append(memoryview(raw) if count >= VIEW_FROM_BYTES else bytes(raw))
    return at + count


def _pop_mark(m: Machine) -> list[Any]:
    items = m.stack
    m.stack = m.marks.pop()
    return items


def _push(value: Any) -> Operation:
    def push(m: Machine, at: int) -> int:
        m.stack.append(value)
        return at

    return push


def _empty(make: type[Any]) -> Operation:
    def empty(m: Machine, at: int) -> int:
        m.stack.append(make())
        m.budget_end -= OBJECT_UNITS
        return at

    return empty


def _counted(width: Struct, use: Any) -> Operation:
    def counted(m: Machine, at: int) -> int:
        (count,) = width.unpack_from(m.data, at)
        following: int = use(m, at + width.size, count)
        return following

    return counted


def _fixed(width: Struct) -> Operation:
    def fixed(m: Machine, at: int) -> int:
        m.stack.append(width.unpack_from(m.data, at)[0])
        return at + width.size

    return fixed


def _mark(m: Machine, at: int) -> int:
    m.marks.append(m.stack)
    m.stack = []
    m.budget_end -= OBJECT_UNITS
    return at


def _stop(m: Machine, at: int) -> int:
    if not m.stack:
        raise IndexError("nothing is left at the end")
    m.done = True
    m.unspent = m.budget_end
    m.budget_end = at
    return at


def _pop(m: Machine, at: int) -> int:
    if m.stack:
        m.stack.pop()
    else:
        _pop_mark(m)
    return at


def _drop_mark(m: Machine, at: int) -> int:
    _pop_mark(m)
    return at


def _dup(m: Machine, at: int) -> int:
    m.stack.append(m.stack[-1])
    return at


def _proto(m: Machine, at: int) -> int:
    protocol = m.data[at]
    if protocol > 5:
        raise m.damaged(at - 1, f"declares protocol {protocol}, and the highest there is is 5")
    m.protocol = max(m.protocol, protocol)
    return at + 1


def _frame(m: Machine, at: int) -> int:  # noqa: ARG001 - frames only help readers of streams
    return at + 8


def _binint1(m: Machine, at: int) -> int:
    m.stack.append(m.data[at])
    return at + 1


def _long(m: Machine, at: int, count: int) -> int:
    m.stack.append(int.from_bytes(m.take(at, count), "little", signed=True))
    return at + count


def _string(m: Machine, at: int, count: int) -> int:
    raw = m.take(at, count)
    push_text(m, raw)
    return at + count


def _bytearray(m: Machine, at: int, count: int) -> int:
    m.stack.append(bytearray(m.take(at, count)))
    return at + count


def _stack_global(m: Machine, at: int) -> int:
    name, module = m.stack.pop(), m.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise TypeError("a name that is no text")
    m.stack.append(m.name(module, name, at - 1))
    return at


def _extension(m: Machine, at: int, code: int) -> int:
    m.stack.append(m.name("copyreg", f"extension_{code}", at))
    return at


def _reduce(m: Machine, at: int) -> int:
    args = m.stack.pop()
    m.stack[-1] = m.call(m.stack[-1], args)
    return at


def _newobj_ex(m: Machine, at: int) -> int:
    keywords, args = m.stack.pop(), m.stack.pop()
    made = m.call(m.stack[-1], args)
    if keywords:
        made = Foreign(made.name if isinstance(made, Foreign) else type(made).__name__, (*args, keywords))
    m.stack[-1] = made
    return at


def _inst(m: Machine, at: int) -> int:
    module, after = line_at(m, at)
    name, after = line_at(m, after)
    args = tuple(_pop_mark(m))
    m.stack.append(m.call(m.name(module.decode("utf-8"), name.decode("utf-8"), at - 1), args))
    return after


def _obj(m: Machine, at: int) -> int:
    name, *args = _pop_mark(m)
    m.stack.append(m.call(name, tuple(args)))
    return at


def _build(m: Machine, at: int) -> int:
    state = m.stack.pop()
    target = m.stack[-1]
    build_on(m, target, state)
    if isinstance(target, Foreign) and not m.within and WRAPPER.fullmatch(target.name):
        m.stack[-1], at = array_behind(m, target, at, _nested)
    return at


def _nested(m: Machine, at: int) -> tuple[Any, int]:
    """A pickle inside the stream of another one; there is no third in it."""
    inner = Machine(m.data, at, memory=m.memory, path=m.path)
    inner.within, inner.budget_end = True, m.budget_end  # many small ones together may take no more than one
    read = inner.run(TABLE)
    m.budget_end = inner.unspent
    m.problems.update(inner.problems)
    m.merge_foreign(read.foreign, at)
    return read.value, read.end


def _persistent(m: Machine, identity: Any) -> Any:
    m.budget_end -= OBJECT_UNITS
    if m.persistent_load is None:
        return Foreign("persistent id", (identity,))
    return m.persistent_load(identity)


def _binpersid(m: Machine, at: int) -> int:
    m.stack[-1] = _persistent(m, m.stack[-1])
    return at


def _persid(m: Machine, at: int) -> int:
    line, at = line_at(m, at)
    m.stack.append(_persistent(m, line.decode("utf-8")))
    return at


def _next_buffer(m: Machine, at: int) -> int:
    m.stack.append(Foreign("out-of-band buffer", ()))
    m.budget_end -= OBJECT_UNITS
    return at


def _readonly(m: Machine, at: int) -> int:  # noqa: ARG001 - makes the top of the stack immutable, which changes no value
    return at


def _append(m: Machine, at: int) -> int:
    item = m.stack.pop()
    append_to(m, m.stack[-1], [item])
    return at


def _appends(m: Machine, at: int) -> int:
    items = _pop_mark(m)
    append_to(m, m.stack[-1], items)
    return at


def _setitem(m: Machine, at: int) -> int:
    value, key = m.stack.pop(), m.stack.pop()
    put_in(m, m.stack[-1], [key, value])
    return at


def _setitems(m: Machine, at: int) -> int:
    items = _pop_mark(m)
    put_in(m, m.stack[-1], items)
    return at


def _additems(m: Machine, at: int) -> int:
    items = _pop_mark(m)
    target = m.stack[-1]
    if isinstance(target, set):
        target.update(key_of(m, item) for item in items)
    else:
        append_to(m, target, items)
    return at


def _frozenset(m: Machine, at: int) -> int:
    items = _pop_mark(m)
    m.stack.append(frozenset(key_of(m, item) for item in items))
    return at


def _list(m: Machine, at: int) -> int:
    items = _pop_mark(m)
    m.stack.append(items)
    return at


def _dict(m: Machine, at: int) -> int:
    made: dict[Any, Any] = {}
    put_in(m, made, _pop_mark(m))
    m.stack.append(made)
    return at


def _tuple(m: Machine, at: int) -> int:
    items = _pop_mark(m)
    m.stack.append(tuple(items))
    return at


def _tuple1(m: Machine, at: int) -> int:
    m.stack[-1] = (m.stack[-1],)
    m.budget_end -= OBJECT_UNITS
    return at


def _tuple2(m: Machine, at: int) -> int:
    last = m.stack.pop()
    m.stack[-1] = (m.stack[-1], last)
    m.budget_end -= OBJECT_UNITS
    return at


def _tuple3(m: Machine, at: int) -> int:
    last, middle = m.stack.pop(), m.stack.pop()
    m.stack[-1] = (m.stack[-1], middle, last)
    m.budget_end -= OBJECT_UNITS
    return at


def _binget(m: Machine, at: int) -> int:
    m.stack.append(m.memo[m.data[at]])
    return at + 1


def _long_binget(m: Machine, at: int) -> int:
    m.stack.append(m.memo[_UINT.unpack_from(m.data, at)[0]])
    return at + 4


def _binput(m: Machine, at: int) -> int:
    m.memo[m.data[at]] = m.stack[-1]
    return at + 1


def _long_binput(m: Machine, at: int) -> int:
    m.memo[_UINT.unpack_from(m.data, at)[0]] = m.stack[-1]
    return at + 4


def _memoize(m: Machine, at: int) -> int:
    m.memo[len(m.memo)] = m.stack[-1]
    m.budget_end -= OBJECT_UNITS
    return at


def _unknown(m: Machine, at: int) -> int:
    raise m.damaged(at - 1, f"is no opcode ({m.data[at - 1]:#04x})")


_BYTE = Struct("<B")
_ROWS: dict[bytes, Operation] = {
    b"(": _mark, b".": _stop, b"0": _pop, b"1": _drop_mark, b"2": _dup,
    b"F": float_line, b"I": int_line, b"J": _fixed(_INT), b"K": _binint1, b"L": long_line, b"M": _fixed(_USHORT),
    b"N": _push(None), b"P": _persid, b"Q": _binpersid, b"R": _reduce, b"S": string_line, b"T": _counted(_INT, _string),
    b"U": _counted(_BYTE, _string), b"V": unicode_line, b"X": _binunicode,
    b"a": _append, b"b": _build, b"c": global_name, b"d": _dict, b"}": _empty(dict), b"e": _appends, b"g": get_line,
    b"h": _binget, b"i": _inst, b"j": _long_binget, b"l": _list, b"]": _empty(list), b"o": _obj, b"p": put_line,
    b"q": _binput, b"r": _long_binput, b"s": _setitem, b"t": _tuple, b")": _push(()), b"u": _setitems, b"G": _fixed(_DOUBLE),
    b"\x80": _proto, b"\x81": _reduce, b"\x82": _counted(_BYTE, _extension), b"\x83": _counted(_USHORT, _extension),
    b"\x84": _counted(_INT, _extension), b"\x85": _tuple1, b"\x86": _tuple2, b"\x87": _tuple3,
    b"\x88": _push(True), b"\x89": _push(False), b"\x8a": _counted(_BYTE, _long), b"\x8b": _counted(_INT, _long),
    b"B": _counted(_UINT, _bytes), b"C": _counted(_BYTE, _bytes),
    b"\x8c": _counted(_BYTE, _unicode), b"\x8d": _counted(_ULONG, _unicode), b"\x8e": _counted(_ULONG, _bytes),
    b"\x8f": _empty(set), b"\x90": _additems, b"\x91": _frozenset, b"\x92": _newobj_ex, b"\x93": _stack_global,
    b"\x94": _memoize, b"\x95": _frame, b"\x96": _counted(_ULONG, _bytearray), b"\x97": _next_buffer, b"\x98": _readonly,
}  # fmt: skip
TABLE: list[Operation] = [_ROWS.get(bytes([code]), _unknown) for code in range(256)]
"""Operation for each byte value."""
