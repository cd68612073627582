"""Every format that intact opens, and the way from a path to an opened container.

What a file is, is decided by its content and never by its name. Formats with an unmistakable beginning are asked first, then the
files that are no checkpoints (see `impostors`), then plain pickles, which begin with almost anything. A format's code is imported
only for files that begin as that format does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from intact.core.container import Container
from intact.errors import IntactError
from intact.files.reading import BoundedFile
from intact.plugins import Table

HEAD_BYTES = 256
"""How much of a file the patterns of the built-in formats look at."""


class Format(Protocol):
    """One format: whether a file is one, and how it is opened."""

    @property
    def certain(self) -> bool:
        """Whether a match leaves no doubt; otherwise a folder's files of this format are looked at twice."""
        ...

    @property
    def first(self) -> bool:
        """Whether it is asked before the files that are no checkpoints."""
        ...

    def matches(self, file: BoundedFile) -> bool:
        """Tells whether a file is of this format, whole or damaged, from a few bytes."""
        ...

    def open_file(self, file: BoundedFile) -> Container:
        """Returns the opened container, which keeps the file.

        Raises:
            CannotRead: It cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A format of this package, imported when a file begins as it does.

    Attributes:
        module: Where `matches` and `open_file` are.
        begins: What the first bytes look like, so that other files do not import the module.
        certain: Whether a match leaves no doubt: other things than checkpoints are zip archives too.
        first: Whether it is asked before the files that are no checkpoints.
    """

    module: str
    begins: re.Pattern[bytes]
    certain: bool = True
    first: bool = True

    def matches(self, file: BoundedFile) -> bool:
        """Tells whether a file is of this format."""
        return self.begins.match(file.head(HEAD_BYTES)) is not None and bool(self._code().matches(file))

    def open_file(self, file: BoundedFile) -> Container:
        """Returns the opened container."""
        container: Container = self._code().open_file(file)
        return container

    def _code(self) -> Any:
        return import_module(self.module)


_ANYTHING = re.compile(rb"")

FORMATS: Table[Format] = Table(
    "intact.containers",
    {
        "safetensors": BuiltIn("intact.containers.safetensors", re.compile(rb".{8}\{", re.DOTALL)),
        "training-folder": BuiltIn(
            "intact.containers.training_folder", re.compile(rb'\{"intact|.{8}\.state|.{4}tact\.', re.DOTALL)
        ),
        "sharded": BuiltIn("intact.containers.sharded", re.compile(rb"\s*\{")),
        "torch-zip": BuiltIn("intact.containers.torch_zip", re.compile(rb"PK"), certain=False),
        "torch-legacy": BuiltIn("intact.containers.torch_legacy", _ANYTHING),
        "torch-tar": BuiltIn("intact.containers.torch_tar", _ANYTHING),
        "unpacked-archive": BuiltIn("intact.containers.unpacked", re.compile(rb"\x80")),
        "dcp": BuiltIn("intact.containers.dcp", re.compile(rb"\x80")),
        "pickle": BuiltIn("intact.containers.plain_pickle", _ANYTHING, certain=False, first=False),
    },
)
"""Formats by name, in the order in which they are asked."""

_MAY_HOLD_PICKLES = ("file/wrapped-archive", "file/not-a-checkpoint", "file/foreign-format", "safety/path-traversal")
"""Codes of files that are no checkpoints themselves and may carry pickles."""

_SETS = ("training-folder", "sharded", "unpacked-archive", "dcp")
"""Formats whose files lead to other files."""

_ENDINGS = {
    ".safetensors": ("safetensors",),
    ".json": ("sharded", "training-folder"),
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt", ".th"), ("torch-zip", "torch-legacy", "torch-tar", "pickle")),
    **dict.fromkeys((".pkl", ".pickle"), ("torch-zip", "torch-legacy", "torch-tar", "pickle")),
    **dict.fromkeys((".onnx", ".gguf", ".h5", ".hdf5", ".keras", ".npz", ".npy", ".tflite", ".gz", ".txt", ".html"), ()),
}
"""Ending to the formats that customarily have it; an ending that is not here says nothing."""


def open_container(path: str | os.PathLike[str]) -> Container:
    """Returns the opened checkpoint at a path: a file, the index of a sharded set, or a folder that holds one of either.

    Nothing in it is run, and no tensor byte is read. The caller closes it (`contextlib.closing`).

    Args:
        path: Where it is.

    Raises:
        CannotRead: It is not there, is no checkpoint, is damaged, or is too large for what it claims to be; the code says which.
    """
    place = located(Path(path))
    if place != Path(path) and place.parent == Path(path):  # what stands for a folder may be a shard of a set without an index
        from intact.containers.unindexed import open_named, set_of

        if (named := set_of(place.parent, place.name)) is not None:
            return open_named(place.parent, *named)
    container = _opened(place, tuple(FORMATS.builtin()))
    if not getattr(container, "pieces", None):
        return container
    from intact.containers.pickled import PickledContainer
    from intact.containers.rank_files import joined

    try:
        return joined(container, open_single) if isinstance(container, PickledContainer) else container
    except BaseException:
        container.close()
        raise


def open_single(path: str | os.PathLike[str]) -> Container:
    """Returns the opened checkpoint of one file; a shard is never a set of files again.

    Raises:
        CannotRead: As for `open_container`.
    """
    return _opened(Path(path), tuple(name for name in FORMATS.builtin() if name not in _SETS))


def open_inside(path: str | os.PathLike[str], content: memoryview) -> Container:
    """Returns the opened checkpoint that stands inside another file.

    Args:
        path: What reports call it.
        content: Its bytes.

    Raises:
        CannotRead: As for `open_container`.
    """
    single = tuple(name for name in FORMATS.builtin() if name not in _SETS)
    return _opened_at(BoundedFile.within(path, content), single, 1)


def container_name(path: Path) -> str:
    """Returns the name of the format that a file has by its content, "" where it is no checkpoint or cannot be read."""
    from intact.containers.impostors import is_impostor

    try:
        with BoundedFile(path) as file:
            for name in FORMATS.builtin():
                if FORMATS[name].matches(file) and (FORMATS[name].certain or not is_impostor(file)):
                    return name
    except IntactError:
        pass
    return ""


def misnamed(path: str | os.PathLike[str], container: str) -> str | None:
    """Returns a sentence where the ending of a file's name promises another format than it has, None otherwise.

    Args:
        path: The file.
        container: Name of the format it was opened as.
    """
    ending = Path(path).suffix.lower()
    if container in _ENDINGS.get(ending, (container,)):
        return None
    return f"its name ends in {ending}, and its content is {container}"


def located(path: Path) -> Path:
    """Returns the file that a path leads to: itself, or the one checkpoint, or index of one, in a folder.

    Raises:
        CannotRead: There is none, or there are several.
    """
    if os.path.isfile(path):
        return path
    from intact.containers import folders

    return folders.located(path, container_name)


def _opened(path: Path, names: tuple[str, ...]) -> Container:
    return _opened_at(BoundedFile(path), names, 0)


def _opened_at(file: BoundedFile, names: tuple[str, ...], depth: int) -> Container:
    try:
        return _recognised(file, names)
    except IntactError as error:
        from intact.containers.impostors import second_opinion

        better = second_opinion(file, error)
        if better.code in _MAY_HOLD_PICKLES and (inner := _inside(file, better, depth)) is not None:
            return inner
        file.close()
        if better is error:
            raise
        raise better from error
    except BaseException:
        file.close()
        raise


def _inside(file: BoundedFile, error: IntactError, depth: int) -> Container | None:
    """Returns the checkpoint inside an archive, None where there is not just one; what its pickles would do is then added."""
    from intact.containers.wrapped import dangers_inside, unwrapped

    single = tuple(name for name in FORMATS.builtin() if name not in _SETS)
    if error.code == "file/wrapped-archive" and (error.evidence.get("inside") != ""):
        try:
            inner = unwrapped(file, depth, lambda part, inner_depth: _opened_at(part, single, inner_depth))
        except IntactError as reason:
            error.evidence.update({"inside_says": reason.message, **_dangers(reason)})
        else:
            if inner is not None:
                return inner
    error.evidence.update(dangers_inside(file))
    return None


def _dangers(error: IntactError) -> dict[str, Any]:
    return {"dangers": error.evidence["dangers"]} if "dangers" in error.evidence else {}


def _recognised(file: BoundedFile, names: tuple[str, ...]) -> Container:
    for format_ in (FORMATS[name] for name in names if FORMATS[name].first):
        if format_.matches(file):
            return format_.open_file(file)
    from intact.containers import impostors

    error = impostors.named(file)
    if error is not None:
        raise error
    for format_ in (*(FORMATS[name] for name in names if not FORMATS[name].first), *_plugins()):
        if format_.matches(file):
            return format_.open_file(file)
    raise impostors.leftover(file)


def _plugins() -> Iterator[Format]:
    """Formats of other distributions; looked for only when nothing of ours fits, because looking takes longer than opening."""
    known = set(FORMATS.builtin())
    return (FORMATS[name] for name in FORMATS if name not in known)


__all__ = [
    "FORMATS",
    "BuiltIn",
    "Format",
    "container_name",
    "located",
    "misnamed",
    "open_container",
    "open_inside",
    "open_single",
]
