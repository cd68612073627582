r"""How reports put names, sizes and numbers into words, and how text that comes from a file is made harmless.

Keys, metadata, paths and class names are written by whoever made the file. A terminal obeys control characters, and some
invisible characters reorder or hide what stands beside them; all of these are written out (`\x1b`, `\u202e`) before anything is
shown. Long names lose their middle in text, never in JSON.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from intact.core.wording import count

if TYPE_CHECKING:
    from intact.core.report import Verdict

LONGEST_NAME = 96
"""Characters of one name or path in text; more than any key of a model that people know by heart, less than two lines."""

LONGEST_TEXT = 1600
"""Characters of one sentence in text; a rule writes a few hundred, a name inside it could be of any length."""

MEANINGS: dict[Verdict, str] = {
    "intact": "it loads exactly as it is",
    "suspect": "it loads as it is, and something is probably not what was meant",
    "repairable": "as it is, it loads wrongly or not at all; a loss-free repair exists",
    "lossy": "it loads only by giving something up, which has to be allowed",
    "incompatible": "no sensible load exists",
    "damaged": "bytes are missing or changed",
    "unsafe": "unpickling it would call something dangerous; nothing in it was run",
}
"""Each verdict in words, where a model was given."""

MEANINGS_ALONE: dict[Verdict, str] = {
    **MEANINGS,
    "intact": "nothing wrong was found in the file itself",
    "suspect": "it can be read, and something is probably not what was meant",
    "repairable": "as it is, torch reads it wrongly or not at all; a loss-free repair exists",
    "lossy": "it can be used only by giving something up",
    "incompatible": "it is no checkpoint that can be used",
}
"""Each verdict in words, where nothing but the file was looked at."""

CONTAINERS = {
    "safetensors": "safetensors",
    "sharded": "sharded set",
    "torch-zip": "torch zip archive",
    "torch-package": "torch.package archive",
    "rank-files": "torch files of several processes",
    "training-folder": "folder of training state",
    "torch-legacy": "torch file from before 1.6",
    "torch-tar": "torch tar archive from before 0.1.11",
    "torchscript": "TorchScript archive",
    "exported-program": "program of torch.export",
    "pickle": "plain pickle",
    "dcp": "folder of torch.distributed.checkpoint",
}
"""Names of formats as people know them; a format that is not here goes by its own name."""

_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
"""Control characters, and what is invisible, turns the direction of writing, or cannot be encoded."""

_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
_RUN = re.compile(rf"\S{{{LONGEST_NAME + 1},}}")


def clean(text: str) -> str:
    """Returns text in which every character that a terminal would obey or hide is written out."""
    return text if text.isascii() and text.isprintable() else _UNPRINTABLE.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    character = match[0]
    number = ord(character)
    return _NAMED.get(character) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")


def shorten(text: str, limit: int = LONGEST_NAME) -> str:
    """Returns text of at most `limit` characters; what is too long loses its middle, because both ends of a key tell most."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) * 2 // 3
    return f"{text[: limit - 1 - tail]}…{text[-tail:]}"


def name(text: str, limit: int = LONGEST_NAME) -> str:
    """Returns a name from a file as text shows it: harmless, and at most `limit` characters long."""
    return shorten(clean(shorten(text, 4 * limit)), limit)


def sentence(text: str) -> str:
    """Returns a sentence that may hold names from a file: harmless, each long word and the whole of bounded length."""
    whole = clean(shorten(text, 4 * LONGEST_TEXT))
    return shorten(_RUN.sub(lambda match: shorten(match[0]), whole), LONGEST_TEXT)


def size_text(size_bytes: int) -> str:
    """Returns a size with its unit: `44.7 MiB`, `3.2 KiB`, `12 bytes`."""
    if size_bytes < 1024:
        return f"{size_bytes} byte{'' if size_bytes == 1 else 's'}"
    size = float(size_bytes)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1023.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:,.1f} TiB"


def number_text(number: int, noun: str) -> str:
    """Returns a number of things: `37 values`, and a large one rounded and exact, `11.7 M values (11,689,512)`."""
    for power, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M")):
        if number >= power:
            return f"{number / power:.1f} {letter} {noun}s ({number:,})"
    return count(number, noun)


def container_text(container: str) -> str:
    """Returns the name of a format as people know it."""
    return CONTAINERS.get(container) or name(container)


def cells(text: str) -> int:
    """Returns how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1 for character in text)


def padded(text: str, width: int) -> str:
    """Returns text with spaces up to a width in columns."""
    return text + " " * (width - cells(text))
