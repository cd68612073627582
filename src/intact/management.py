"""The checkpoints of one run in one folder: which to keep, which to go on from, and saving while training goes on.

Each checkpoint is a folder of training state that says itself what it is of (step, metrics), so that nothing beside them can
disagree. One is removed only after the new one stands, and never the best. What is damaged is passed over, and said.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from intact.containers.training_folder import INDEX, read_index
from intact.core.finding import Finding
from intact.core.report import Report, verdict_of
from intact.errors import IntactError, LoadRefused
from intact.files.atomic import writing
from intact.files.locking import only_writer
from intact.files.reading import BoundedFile
from intact.files.trees import removed
from intact.training import load_training
from intact.training_saving import write_training
from intact.training_taking import TakenPart, taken

Direction = Literal["min", "max"]

_NAME = re.compile(r"step-(\d{1,18})")
_DEAD = re.compile(r"\.(?:step-\d{1,18}|latest|best)\.[0-9a-f]{12}\.tmp")
_LOCK = re.compile(r"\.(step-\d{1,18})\.lock")


@dataclass(frozen=True, slots=True)
class Saved:
    """One checkpoint of a run.

    Attributes:
        path: Its folder.
        step: Which step it is of.
        metrics: What was measured, by name.
        saved_ns: When it was saved, in nanoseconds since 1970.
        size_bytes: Of all its files.
    """

    path: Path
    step: int
    metrics: Mapping[str, float]
    saved_ns: int
    size_bytes: int


class CheckpointManager:
    """The checkpoints of one run in one folder, with two links to them: `latest` and `best`.

    Args:
        folder: Where they are; made when the first is saved. Other files in it are left alone.
        keep_last: How many of the newest are kept.
        best: Metric by which one is better than another, and whether less or more of it is (`("val_loss", "min")`).
        keep_best: How many of the best are kept, where there is such a metric.
        keep_every: Checkpoints of steps that are multiples of it are kept for ever; None for none.
        allow: Codes of what may be lost when a model is saved.

    Example:
        >>> manager = intact.CheckpointManager("run", keep_last=3, best=("val_loss", "min"))
        >>> manager.save(step, model=model, optimizer=optimizer, metrics={"val_loss": loss})
        >>> manager.restore(model=model, optimizer=optimizer)
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        keep_last: int = 3,
        best: tuple[str, Direction] | None = None,
        keep_every: int | None = None,
        *,
        keep_best: int = 1,
        allow: Iterable[str] = (),
    ) -> None:
        if keep_last < 1 or keep_best < 1 or (keep_every is not None and keep_every < 1):
            raise IntactError("how many checkpoints are kept is a number from 1")
        if best is not None and best[1] not in ("min", "max"):
            raise IntactError(f"the best is that with the `min` or the `max` of a metric, not the {best[1]!r}")
        self.folder = Path(folder)
        self._keep_last, self._best, self._keep_best, self._keep_every = keep_last, best, keep_best, keep_every
        self._allow = tuple(allow)
        self._worker: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._copies: dict[str, TakenPart] = {}
        self.step: int | None = None

    def save(self, step: int, *, metrics: Mapping[str, float] | None = None, background: bool = False, **objects: Any) -> Path:
        """Saves objects as the checkpoint of a step, and removes those that are not to be kept.

        Args:
            step: Of the run, from 0; a checkpoint of the same step is replaced.
            metrics: What was measured, by name.
            background: Whether to return as soon as everything is copied; an error is raised by the next call. The memory of
                the copy is kept for the next one, until a save that is not in the background.
            **objects: Modules, optimizers and whatever else is to be saved, by name.

        Raises:
            IntactError: The metric of the best is missing, another process saves to this folder, the disk refuses, or the save
                before it, in the background, failed.
        """
        self.wait()
        notes = {"step": step, "metrics": self._measured(step, metrics or {}), "saved_ns": time.time_ns()}
        parts = taken(objects, self._allow)
        target = self.folder / f"step-{step}"
        if background:
            self._copies = {name: part.copied(self._copies.get(name)) for name, part in parts.items()}
            self._worker = threading.Thread(target=self._write_quietly, args=(target, self._copies, notes), name="intact-save")
            self._worker.start()
        else:
            self._copies = {}
            self._write(target, parts, notes)
        self.step = step
        return target

    def wait(self) -> None:
        """Waits until the save in the background is done.

        Raises:
            IntactError: It failed.
        """
        if self._worker is not None:
            self._worker.join()
            self._worker = None
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def restore(self, *, allow: Iterable[str] = (), **objects: Any) -> Report:
        """Loads the newest checkpoint that is whole into objects, all or nothing, and says which ones it passed over.

        Args:
            allow: Codes of losses that are meant.
            **objects: The live objects, by name.

        Returns:
            The report on the checkpoint, its path in `source`; `step` of the manager is its step.

        Raises:
            LoadRefused: There is none that is whole, or the newest one that is does not fit; `.report` says why.
        """
        self.wait()
        over: list[Finding] = []
        for path in self._newest_first():
            try:
                step = _saved(path).step
            except IntactError as error:
                over.append(_passed_over(path, Finding(error.code or "file/missing-shard", "error", error.message)))
                continue
            try:
                report = load_training(objects, path, allow)
            except IntactError as error:
                found = error.report.findings if error.report is not None else ()
                if verdict_of(found) not in ("damaged", "unsafe"):
                    raise
                over.append(_passed_over(path, found[0]))
                continue
            self.step = step
            return replace(report, findings=(*over, *report.findings))
        what = f"none of the {len(over)} checkpoints in it is whole" if over else "there is no checkpoint in it"
        raise LoadRefused(what, path=str(self.folder), evidence={"passed_over": [finding.headline for finding in over]})

    @property
    def checkpoints(self) -> tuple[Saved, ...]:
        """The checkpoints in the folder that can be described, in the order in which they were saved."""
        found = []
        for path in self._folders():
            with suppress(IntactError):
                found.append(_saved(path))
        return tuple(sorted(found, key=lambda saved: (saved.saved_ns, saved.step)))

    @property
    def latest(self) -> Path | None:
        """The checkpoint that was saved last."""
        return self.checkpoints[-1].path if self.checkpoints else None

    @property
    def best(self) -> Path | None:
        """The best checkpoint; None where no metric says which."""
        ranked = self._ranked(self.checkpoints)
        return ranked[0].path if ranked else None

    def __str__(self) -> str:
        """The checkpoints as a table."""
        every = self.checkpoints
        if not every:
            return f"{self.folder}: no checkpoints"
        names = list(dict.fromkeys(name for saved in every for name in saved.metrics))
        rows = [["step", *names, "saved", "size", ""]]
        marks = {self.latest: "latest", self.best: "best"} if self.latest != self.best else {self.latest: "latest, best"}
        for saved in every:
            measured = [f"{saved.metrics[name]:.6g}" if name in saved.metrics else "" for name in names]
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(saved.saved_ns / 1e9))
            rows.append([f"{saved.step:,}", *measured, when, f"{saved.size_bytes / 1e6:,.1f} MB", marks.get(saved.path, "")])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)) + f"  {row[-1]}" for row in rows
        ]
        return "\n".join((f"{self.folder}:", *(line.rstrip() for line in lines)))

    __repr__ = __str__

    def _measured(self, step: int, metrics: Mapping[str, float]) -> dict[str, float]:
        if type(step) is not int or not 0 <= step < 10**18:
            raise IntactError(f"a step is a whole number from 0, and {step!r} is none")
        if self._best is not None and self._best[0] not in metrics:
            raise IntactError(
                f"the best checkpoint is that with the {self._best[1]} of `{self._best[0]}`, and it was not measured"
            )
        return {str(name): float(value) for name, value in metrics.items()}

    def _write_quietly(self, target: Path, parts: Mapping[str, TakenPart], notes: Mapping[str, Any]) -> None:
        try:
            self._write(target, parts, notes)
        except BaseException as error:  # noqa: BLE001 - it is raised by the next call, in the thread of the user
            self._failure = error

    def _write(self, target: Path, parts: Mapping[str, TakenPart], notes: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with writing(self.folder / "checkpoints"):
            write_training(target, parts, notes=notes)
            self._link("latest", self.latest)
            self._link("best", self.best)
            self._tidy(target)

    def _link(self, name: str, target: Path | None) -> None:
        """Lets a name lead to a checkpoint, in one step; where the system has no links, nothing is lost."""
        place = self.folder / name
        if target is None or (os.path.lexists(place) and not place.is_symlink()):
            return
        draft = self.folder / f".{name}.{secrets.token_hex(6)}.tmp"
        with suppress(OSError, RuntimeError):
            try:
                os.symlink(target.name, draft)
                os.replace(draft, place)
            finally:
                draft.unlink(missing_ok=True)

    def _tidy(self, new: Path) -> None:
        """Removes checkpoints that are not to be kept, each out of sight first, and what killed writers left of others."""
        every = self.checkpoints
        kept = {saved.path for saved in (*every[-self._keep_last :], *self._ranked(every)[: self._keep_best])}
        kept |= {saved.path for saved in every if self._keep_every and saved.step % self._keep_every == 0}
        with suppress(OSError):
            for saved in every:
                if saved.path not in kept | {new}:
                    aside = self.folder / f".{saved.path.name}.{secrets.token_hex(6)}.tmp"
                    os.rename(saved.path, aside)
            for name in os.listdir(self.folder):
                if _DEAD.fullmatch(name):
                    removed(self.folder / name)
                elif lock := _LOCK.fullmatch(name):
                    _release(self.folder / lock[1])

    def _ranked(self, every: Iterable[Saved]) -> list[Saved]:
        """The checkpoints from the best on; what is not a number is never the best, and of equal ones the first is."""
        if self._best is None:
            return []
        name, direction = self._best
        sign = 1 if direction == "min" else -1
        measured = [saved for saved in every if saved.metrics.get(name, float("nan")) == saved.metrics.get(name)]
        return sorted(measured, key=lambda saved: sign * saved.metrics[name])

    def _folders(self) -> list[Path]:
        with suppress(OSError):
            return [
                path for path in self.folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
            ]
        return []

    def _newest_first(self) -> list[Path]:
        """Folders of checkpoints, the newest first; one that cannot be described stands where its step belongs."""
        known = {saved.path: saved.saved_ns for saved in self.checkpoints}

        def order(path: Path) -> tuple[int, int]:
            step = int(path.name.removeprefix("step-"))
            later = [ns for other, ns in known.items() if int(other.name.removeprefix("step-")) <= step]
            return known.get(path, max(later, default=0)), step

        return sorted(self._folders(), key=order, reverse=True)


def _release(target: Path) -> None:
    """Removes the lock of a checkpoint whose writer was killed; one that is held by a writer that lives stays."""
    with suppress(IntactError), only_writer(target):
        pass


def _passed_over(path: Path, damage: Finding) -> Finding:
    return Finding(
        damage.code,
        "warning",
        f"`{path.name}` was passed over: {damage.headline}",
        damage.keys,
        {"checkpoint": str(path), **damage.evidence},
        cause=damage.cause,
        help="the run goes on from an older checkpoint; look after the disk",
    )


def _saved(path: Path) -> Saved:
    """Returns what a checkpoint says of itself.

    Raises:
        IntactError: It cannot be read.
    """
    with BoundedFile(path / INDEX) as file:
        notes = read_index(file).notes
    metrics = notes.get("metrics")
    values = metrics.items() if isinstance(metrics, dict) else ()
    saved_ns = notes.get("saved_ns")
    with suppress(OSError):
        size = sum(entry.stat().st_size for entry in path.iterdir())
        return Saved(
            path,
            int(path.name.removeprefix("step-")),
            {name: float(value) for name, value in values if isinstance(value, int | float)},
            saved_ns if isinstance(saved_ns, int) else 0,
            size,
        )
    raise IntactError("the checkpoint is there no more", path=str(path))
