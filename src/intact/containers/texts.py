"""Text where a checkpoint was expected: pages and error answers of a server, pointers to large files, configuration, source.

Everything is decided on the first bytes; nothing is parsed that could be large, and source code is recognised by its looks alone.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from intact.containers.shown import SHOWN_CHARACTERS, shown
from intact.errors import Damaged, IntactError, NotACheckpoint
from intact.files.reading import BoundedFile

HEAD_BYTES = 1 << 16
"""How much is looked at: titles and error codes stand at the begin of a page."""

DOCUMENT_LIMIT_BYTES = 1 << 20
"""Largest JSON that is parsed to see whether it is an error answer; those are short."""

_TAGS = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<!-- saved from url")
_LFS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/", b"version http://git-media.io/")
_ERROR_MEMBERS = ("error", "errors", "message", "detail", "Message", "Code", "code", "status", "statusCode")
_PYTHON = re.compile(r"^(import [\w.]+( as \w+)?|from [\w.]+ import .+|def \w+\(.*|class \w+.*:|@\w.*)\s*$", re.MULTILINE)
_YAML = re.compile(r"^[\w.\"'/-]+:(\s.*)?$", re.MULTILINE)

_AGAIN = "fetch the file itself: open the address in a browser, log in where that is needed, or use the provider's own client"


def named_text(file: BoundedFile) -> IntactError | None:
    """Returns what a text with an unmistakable beginning is, as the error to raise; None for anything else."""
    head = file.head(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    lowered = head[:1024].lower()
    if head.startswith(_LFS):
        return _lfs_pointer(file, head)
    if head.startswith(b"/annex/objects/") or b"/.git/annex/objects/" in head[:200]:
        return _pointer(file, "a git-annex pointer", "git annex get " + file.path.name)
    if head.startswith(b"# xet version"):
        return _pointer(file, "a Xet pointer", "git xet checkout, or download the file again")
    if lowered.startswith(_TAGS) or (lowered.startswith(b"<") and b"<html" in lowered):
        return _web_page(file, head)
    if lowered.startswith((b"<?xml", b"<error", b"<svg", b"<")) and _decodes(head):
        return _markup(file, head)
    return None


def plain_text(file: BoundedFile) -> IntactError | None:
    """Returns what any other text is, as the error to raise; None where the bytes are no text."""
    head = file.head(HEAD_BYTES)
    if not _decodes(head) or not head.strip():
        return None
    if head.lstrip()[:1] in (b"{", b"["):
        return _json(file, head)
    text = head.decode("utf-8", "ignore")
    if re.search(r"^outs:\s*$", text, re.MULTILINE) and re.search(r"^\s*-?\s*md5:", text, re.MULTILINE):
        return _pointer(file, "a DVC pointer", "dvc pull " + file.path.name)
    if text.startswith("model_checkpoint_path:"):
        return _other(file, "the `checkpoint` text file of a TensorFlow checkpoint", text)
    if _PYTHON.search(text) or text.startswith("#!"):
        return _other(file, "program source", text)
    return _other(file, "a YAML file" if _looks_like_yaml(text) else "a text file", text)


def _lfs_pointer(file: BoundedFile, head: bytes) -> IntactError:
    fields = dict(re.findall(rb"^(oid|size) (.{1,100})$", head, re.MULTILINE))
    oid, size = (_text(fields.get(name, b"")) for name in (b"oid", b"size"))
    size_bytes = int(size) if size.isdecimal() and len(size) < 20 else None
    behind = f" for a file of {size_bytes} bytes" if size_bytes is not None else ""
    return Damaged(
        f"it is a git-lfs pointer of {file.size_bytes} bytes{behind}, not the file itself",
        code="file/lfs-pointer",
        path=str(file.path),
        evidence={"oid": oid, "real_size_bytes": size_bytes, "size_bytes": file.size_bytes},
        help="in the repository, run: git lfs install && git lfs pull; or download the file from the page of the repository",
    )


def _pointer(file: BoundedFile, what: str, command: str) -> IntactError:
    return Damaged(
        f"it is {what}, not the file itself",
        code="file/lfs-pointer",
        path=str(file.path),
        evidence={"size_bytes": file.size_bytes},
        help=f"run: {command}",
    )


def _web_page(file: BoundedFile, head: bytes) -> IntactError:
    found = re.search(rb"<title[^>]{0,200}>(.{0,1000}?)</title", head, re.IGNORECASE | re.DOTALL)
    title = _line(html.unescape(_text(found.group(1)))) if found else ""
    called = f" titled {title!r}" if title else ""
    return Damaged(
        f"it is a web page{called}, saved under the name of a checkpoint",
        code="file/web-page",
        path=str(file.path),
        evidence={"title": title, "size_bytes": file.size_bytes},
        help=_AGAIN,
    )


def _markup(file: BoundedFile, head: bytes) -> IntactError:
    code, message = (_tagged(head, name) for name in (b"Code", b"Message"))
    if b"<Error" in head[:1024] and code:
        return _answer(file, f"{code}: {message}" if message else code, {"error": code, "message": message})
    return _other(file, "an SVG image" if b"<svg" in head[:1024] else "an XML file", _text(head))


def _tagged(head: bytes, name: bytes) -> str:
    found = re.search(rb"<%s>(.{0,500}?)</%s>" % (name, name), head, re.DOTALL)
    return _line(html.unescape(_text(found.group(1)))) if found else ""


def _json(file: BoundedFile, head: bytes) -> IntactError:
    document = _parsed(file)
    if isinstance(document, dict) and file.size_bytes <= HEAD_BYTES:
        told = next((name for name in _ERROR_MEMBERS if name in document), None)
        if told is not None and len(document) <= 10:
            message = _line(document[told] if isinstance(document[told], str) else json.dumps(document[told]))
            return _answer(file, message, {"error": message})
    return _other(file, "a JSON file" if document is not None else "text that begins as JSON does", _text(head))


def _parsed(file: BoundedFile) -> Any:
    if file.size_bytes > DOCUMENT_LIMIT_BYTES:
        return None
    try:
        return json.loads(file.head(file.size_bytes))
    except (ValueError, RecursionError):
        return None


def _answer(file: BoundedFile, message: str, evidence: Mapping[str, Any]) -> IntactError:
    return Damaged(
        f"it is a server's answer, {message!r}, saved under the name of a checkpoint",
        code="file/web-page",
        path=str(file.path),
        evidence={**evidence, "size_bytes": file.size_bytes},
        help=_AGAIN,
    )


def _other(file: BoundedFile, what: str, text: str) -> IntactError:
    return NotACheckpoint(
        f"it is {what}, not a checkpoint",
        code="file/not-a-checkpoint",
        path=str(file.path),
        evidence={"begins_with": _line(text), "size_bytes": file.size_bytes},
        help="name the file that holds the weights; a configuration or an index often lies beside it",
    )


def _looks_like_yaml(text: str) -> bool:
    lines = [line for line in text.splitlines()[:50] if line.strip() and not line.lstrip().startswith(("#", "-"))]
    return text.startswith("---") or (
        len(lines) > 1 and sum(bool(_YAML.match(line.lstrip())) for line in lines) > len(lines) // 2
    )


def _decodes(head: bytes) -> bool:
    """Tells whether bytes are text: UTF-8 without control characters, but for a character cut off at the end."""
    if any(head.count(code) for code in (b"\0", b"\x01", b"\x02", b"\x03", b"\x08", b"\x0e", b"\x7f", b"\xef\xbf\xbd")):
        return False
    try:
        head[: len(head) - 3 if len(head) == HEAD_BYTES else None].decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 6 and len(head) == HEAD_BYTES
    return True


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").strip()


def _line(text: str) -> str:
    return shown(" ".join(text[: 4 * SHOWN_CHARACTERS].split()))
