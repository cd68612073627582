"""The opcodes of protocol 0, whose operands are lines of text, each of bounded length.

Source:
    CPython 3.11 `Lib/pickle.py`.
"""

from __future__ import annotations

from _codecs import escape_decode

from intact.containers.pickles.machine import Machine

OBJECT_UNITS = 32
LINE_LIMIT_BYTES = 1 << 16
"""Longest line of the text opcodes, which hold names, numbers and memo positions."""
TEXT_LINE_LIMIT_BYTES = 1 << 28
NUMBER_LIMIT_DIGITS = 4300
"""Longest decimal number; longer ones take time that grows with the square (the limit of CPython itself)."""


def line_at(m: Machine, at: int, limit: int = LINE_LIMIT_BYTES) -> tuple[bytes, int]:
    """Returns the line that begins at a position, and the position after it."""
    window = 256
    while True:
        chunk = bytes(m.data[at : at + window])
        length = chunk.find(b"\n")
        if length >= 0:
            return chunk[:length], at + length + 1
        if len(chunk) < window:
            raise m.truncated()
        if window > limit:
            raise m.damaged(at, "is followed by a line that does not end")
        window *= 16


def text_of(raw: bytes | memoryview) -> str | bytes:
    """Returns the text of a Python 2 string, the bytes themselves where they are no text."""
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError:
        return bytes(raw)


def push_text(m: Machine, raw: bytes | memoryview) -> None:
    """Puts a Python 2 string on the stack, and notes one that is no text."""
    text = text_of(raw)
    if isinstance(text, bytes):
        count, first = m.bytes_texts
        m.bytes_texts = (count + 1, first or text[:16])
    m.stack.append(text)


def int_line(m: Machine, at: int) -> int:
    """INT: a decimal number, or the booleans of protocol 1."""
    line, at = line_at(m, at)
    m.stack.append({b"00": False, b"01": True}[line] if line in (b"00", b"01") else number_of(line))
    return at


def long_line(m: Machine, at: int) -> int:
    """LONG: a decimal number with an L behind it."""
    line, at = line_at(m, at)
    m.stack.append(number_of(line.removesuffix(b"L")))
    return at


def number_of(line: bytes) -> int:
    """Returns a decimal number of bounded length."""
    if len(line) > NUMBER_LIMIT_DIGITS:
        raise ValueError("a number of too many digits")
    return int(line)


def float_line(m: Machine, at: int) -> int:
    """FLOAT: a decimal floating number."""
    line, at = line_at(m, at)
    m.stack.append(float(line))
    return at


def string_line(m: Machine, at: int) -> int:
    """STRING: a quoted Python 2 string."""
    line, at = line_at(m, at, TEXT_LINE_LIMIT_BYTES)
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise ValueError("a string without its quotes")
    push_text(m, bytes(escape_decode(line[1:-1])[0]))
    return at


def unicode_line(m: Machine, at: int) -> int:
    """UNICODE: text with escapes."""
    line, at = line_at(m, at, TEXT_LINE_LIMIT_BYTES)
    m.stack.append(line.decode("raw_unicode_escape"))
    return at


def global_name(m: Machine, at: int) -> int:
    """GLOBAL: a module and a name, a line each."""
    module, after = line_at(m, at)
    name, after = line_at(m, after)
    m.stack.append(m.name(module.decode("utf-8"), name.decode("utf-8"), at - 1))
    return after


def get_line(m: Machine, at: int) -> int:
    """GET: a memo position in decimal."""
    line, at = line_at(m, at)
    m.stack.append(m.memo[number_of(line)])
    return at


def put_line(m: Machine, at: int) -> int:
    """PUT: a memo position in decimal."""
    line, at = line_at(m, at)
    m.memo[number_of(line)] = m.stack[-1]
    m.budget_end -= OBJECT_UNITS
    return at
