"""Files that are no checkpoints of PyTorch, each named for what it is and with what to do about it.

Formats are recognised by their own first bytes, never by the name of the file. `named` answers where the beginning is
unmistakable, and is asked before the readers of plain pickles, whose format begins with almost anything; `leftover` answers for
everything that nobody else wanted; `second_opinion` looks for a better cause when a reader found a file damaged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from intact.containers.archives import wrapped
from intact.containers.texts import named_text, plain_text
from intact.containers.transfers import begins_with_zeros, converted_as_text, unfinished
from intact.errors import CannotRead, Damaged, IntactError, NotACheckpoint
from intact.files.reading import BoundedFile

SHOWN_BYTES = 16
"""First bytes that an error shows where nothing is known of them."""

ONNX_FIELDS_READ = 32
"""Top-level fields that are looked at to tell ONNX; a model has fewer than ten before its graph."""

_MODEL = (
    "it holds a model for another runtime: find the PyTorch weights it was made from, or convert it with that format's own tools"
)
_ARRAYS = "read it with numpy, and save the arrays as safetensors or as a state dict"
_NO_MODEL = "name the file that holds the weights; this one was chosen or downloaded by mistake"
_KERAS = "it holds weights for Keras or TensorFlow: load it there, and save the arrays as safetensors"


@dataclass(frozen=True, slots=True)
class Signature:
    """How one foreign format begins.

    Attributes:
        name: What it is called in reports.
        magic: Bytes that stand at `offset`.
        help: What to do.
        offset: Where they stand.
        also: More that must match, from the begin of the file; None for nothing.
    """

    name: str
    magic: bytes
    help: str
    offset: int = 0
    also: re.Pattern[bytes] | None = None


SIGNATURES = (
    Signature("a GGUF file of llama.cpp", b"GGUF", _MODEL),
    Signature("a GGML file", b"lmgg", _MODEL),
    Signature("a GGML file", b"tjgg", _MODEL),
    Signature("a GGML file", b"fmgg", _MODEL),
    Signature("a TensorFlow Lite model", b"TFL3", _MODEL, 4),
    Signature("an ExecuTorch program", b"ET12", _MODEL, 4),
    Signature("a TensorRT engine", b"ftrt", _MODEL),
    Signature("an HDF5 file (Keras and others)", b"\x89HDF\r\n\x1a\n", _KERAS),
    Signature("a numpy array (.npy)", b"\x93NUMPY", _ARRAYS),
    Signature("a MATLAB file", b"MATLAB 5.0 MAT-file", "read it with scipy.io.loadmat, and save the arrays as safetensors"),
    Signature("an R data file", b"RDX", _NO_MODEL),
    Signature("a PNG image", b"\x89PNG\r\n\x1a\n", _NO_MODEL),
    Signature("a JPEG image", b"\xff\xd8\xff", _NO_MODEL),
    Signature("a GIF image", b"GIF8", _NO_MODEL),
    Signature("a WebP image", b"RIFF", _NO_MODEL, also=re.compile(rb"RIFF....WEBP", re.DOTALL)),
    Signature("a WAV sound", b"RIFF", _NO_MODEL, also=re.compile(rb"RIFF....WAVE", re.DOTALL)),
    Signature("an AVI film", b"RIFF", _NO_MODEL, also=re.compile(rb"RIFF....AVI ", re.DOTALL)),
    Signature("a TIFF image", b"II*\x00", _NO_MODEL),
    Signature("a TIFF image", b"MM\x00*", _NO_MODEL),
    Signature("a BMP image", b"BM", _NO_MODEL, also=re.compile(rb"BM....\0\0\0\0....[\x0c\x28\x6c\x7c]\0\0\0", re.DOTALL)),
    Signature("a film (MP4 or QuickTime)", b"ftyp", _NO_MODEL, 4),
    Signature("a PDF document", b"%PDF-", _NO_MODEL),
    Signature("a Parquet file", b"PAR1", _NO_MODEL),
    Signature("an Arrow file", b"ARROW1", _NO_MODEL),
    Signature("an SQLite database", b"SQLite format 3\0", _NO_MODEL),
    Signature("a program or library (ELF)", b"\x7fELF", _NO_MODEL),
    Signature("a program or library (PE)", b"MZ", _NO_MODEL, also=re.compile(rb"MZ.{58}..\0\0", re.DOTALL)),
    Signature("a program or library (Mach-O)", b"\xcf\xfa\xed\xfe", _NO_MODEL),
    Signature(
        "the side file (AppleDouble) that macOS keeps beside the real one",
        b"\x00\x05\x16\x07",
        "name the file without the leading `._`",
    ),
    Signature(
        "a log of TensorBoard events", b"", _NO_MODEL, also=re.compile(rb".\0\0\0\0\0\0\0.{12}.{0,24}brain\.Event:", re.DOTALL)
    ),
)


_MAY_BE_CONVERSION = ("file/truncated", "file/bad-header", "file/storage-bounds")
"""What a file that was converted as text looks like to the reader of its format."""


def named(file: BoundedFile) -> IntactError | None:
    """Returns what a file with an unmistakable beginning is, as the error to raise; None for anything else."""
    if file.size_bytes == 0:
        return _empty(file)
    for test in _SURE:
        error = test(file)
        if error is not None:
            return error
    return None


def is_impostor(file: BoundedFile) -> bool:
    """Tells whether a file is something else than a checkpoint, text included."""
    return named(file) is not None or plain_text(file) is not None


def leftover(file: BoundedFile) -> IntactError:
    """Returns the error for a file that no container and no signature knows."""
    for test in (begins_with_zeros, plain_text, converted_as_text):
        error = test(file)
        if error is not None:
            return _with_hint(file, error)
    return _with_hint(file, _unknown(file))


def second_opinion(file: BoundedFile, error: IntactError) -> IntactError:
    """Returns the better explanation of a failed reading, where the bytes give one; otherwise the error with what the name tells.

    Args:
        file: Still open.
        error: What the reader of its format raised.
    """
    better = converted_as_text(file) if isinstance(error, Damaged) and error.code in _MAY_BE_CONVERSION else None
    if error.code in ("file/not-a-checkpoint", "file/wrapped-archive") and isinstance(error, NotACheckpoint):
        better = wrapped(file)
    if better is not None:
        better.evidence["as_read"] = error.message
        return _with_hint(file, better)
    return _with_hint(file, error)


def _empty(file: BoundedFile) -> IntactError:
    error = Damaged(
        "it is empty: 0 bytes",
        code="file/empty",
        path=str(file.path),
        evidence={"size_bytes": 0},
        help="fetch the file again, or use the checkpoint before it: a save that was killed at once leaves an empty file",
    )
    return _with_hint(file, error)


def _signed(file: BoundedFile) -> IntactError | None:
    head = file.head(1024)
    for row in SIGNATURES:
        if head.startswith(row.magic, row.offset) and (row.also is None or row.also.match(head)):
            return foreign(file, row.name, row.help)
    return None


def _tensorflow(file: BoundedFile) -> IntactError | None:
    if file.tail(8) == b"\x57\xfb\x80\x8b\x24\x75\x47\xdb":
        return foreign(file, "the index of a TensorFlow checkpoint", _KERAS)
    if re.search(r"\.data-\d{5}-of-\d{5}$", file.path.name) and not file.head(4).startswith((b"PK\3\4", b"\x80")):
        return foreign(file, "the data file of a TensorFlow checkpoint", _KERAS)
    return None


def _onnx(file: BoundedFile) -> IntactError | None:
    """An ONNX file is a protocol buffer: field 1 (the version) first, then names, then the graph as field 7."""
    head = file.head(1 << 14)
    if not head.startswith(b"\x08") or len(head) < 8 or not 1 <= head[1] <= 64:
        return None
    position = 2
    for _ in range(ONNX_FIELDS_READ):
        tag, position = _varint(head, position)
        length, begin = _varint(head, position)
        if tag == 7 << 3 | 2:
            return foreign(file, "an ONNX model", _MODEL) if 0 < length <= file.size_bytes - begin else None
        if tag & 7 == 0 and tag >> 3 in (1, 5):
            position = begin
        elif tag & 7 == 2 and tag >> 3 in (2, 3, 4, 6, 8, 14, 20, 25):
            position = begin + length
        else:
            return None
    return None


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Returns a protocol-buffer number of at most five bytes and where the next one begins; 0 at the end of the data."""
    number = 0
    for shift in range(0, 35, 7):
        if position >= len(data):
            return 0, position
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    return 0, position


def foreign(file: BoundedFile, what: str, help: str) -> IntactError:  # noqa: A002 - the word of every error
    """Returns the error for a file of a known other format."""
    return NotACheckpoint(
        f"it is {what}, not a PyTorch checkpoint",
        code="file/foreign-format",
        path=str(file.path),
        evidence={"format": what, "size_bytes": file.size_bytes},
        help=help,
    )


def _unknown(file: BoundedFile) -> CannotRead:
    head = file.head(SHOWN_BYTES)
    evidence = {"first_bytes": head.hex(" "), "size_bytes": file.size_bytes}
    if file.path.suffix.lower() == ".safetensors":
        return Damaged(
            f"its name says safetensors, and it does not begin with a header; the first bytes are {head.hex(' ')}",
            code="file/bad-header",
            path=str(file.path),
            evidence=evidence,
            help="fetch the file again, and compare its size or SHA-256 with the original",
        )
    return NotACheckpoint(
        f"no known checkpoint format begins with the bytes {head.hex(' ')}",
        code="file/not-a-checkpoint",
        path=str(file.path),
        evidence=evidence,
        help="fetch the file again if it was a checkpoint: it should begin with 50 4b (torch.save), 80 (pickle), "
        "or eight bytes and 7b (safetensors)",
    )


def _with_hint(file: BoundedFile, error: IntactError) -> IntactError:
    hint = unfinished(file)
    if hint and hint not in error.help:
        error.help = f"{error.help}; {hint}: let it finish, or start it again" if error.help else f"{hint}: let it finish"
        error.evidence["unfinished_name"] = file.path.name
    return error


_SURE: tuple[Callable[[BoundedFile], IntactError | None], ...] = (_signed, named_text, wrapped, _tensorflow, _onnx)
