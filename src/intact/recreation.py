"""An environment written so that an installer makes it again: requirements.txt, environment.yml or pylock.toml.

A line that no index can satisfy helps nobody, so local builds (`+cpu`, `+cu128`), previews, and what was installed from a folder
stand as comments that say why. Names, versions and addresses come from a file: whatever is not exactly what it has to be is left
out, because a line of such a file can tell an installer to do anything.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import which
from typing import Literal

from intact.core.environment import Distribution, Environment
from intact.environments import release_of
from intact.errors import IntactError, MissingDependency
from intact.files.atomic import write_atomically

Kind = Literal["requirements", "conda", "pylock"]

LOCKING_PATIENCE_S = 600
"""Seconds that an installer may take to resolve; it may have to fetch the metadata of some dozens of distributions."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_RELEASE = re.compile(r"(?:[0-9]{1,6}!)?[0-9]{1,9}(?:\.[0-9]{1,9}){0,9}(?:(?:a|b|rc)[0-9]{1,6})?(?:\.post[0-9]{1,6})?")
"""A version that an index keeps; nightly builds (`.dev…`) are taken away after some weeks. Source: PEP 440."""

_ADDRESS = re.compile(r"https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?/[A-Za-z0-9._~/+-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One distribution as an installer may be asked for it.

    Attributes:
        text: What to ask for, "" where nobody could answer.
        name: Of the distribution, "" where what the record says is no name.
        address: Repository that it comes from, "" for an index.
        commit: In that repository.
        note: What is not as it was recorded, and why.
    """

    text: str
    name: str = ""
    address: str = ""
    commit: str = ""
    note: str = ""


def kind_of(path: Path) -> Kind:
    """Returns what a file of that name holds.

    Raises:
        IntactError: The name is none that an installer looks for.
    """
    if path.suffix == ".txt":
        return "requirements"
    if path.suffix in (".yml", ".yaml"):
        return "conda"
    if re.fullmatch(r"pylock(?:\.[^.]+)?\.toml", path.name):
        return "pylock"
    raise IntactError(
        f"{path.name!r} is no name of a file that an installer reads",
        path=str(path),
        help="name it *.txt (pip, uv), *.yml (conda) or pylock.toml (pip, uv)",
    )


def command_for(path: Path) -> str:
    """Returns the command that makes the environment from the file."""
    commands: dict[Kind, str] = {
        "requirements": "pip install -r {0}",
        "conda": "conda env create -f {0}",
        "pylock": "uv pip sync {0}" if which("uv") else "pip install -r {0}",
    }
    return commands[kind_of(path)].format(shlex.quote(str(path)))


def write_environment(recorded: Environment, path: Path, *, overwrite: bool) -> None:
    """Writes the file that the name of the path asks for, whole or not at all.

    Raises:
        IntactError: The name is none that an installer looks for, the file exists, or no lock can be made.
    """
    texts: dict[Kind, Callable[[Environment], str]] = {
        "requirements": requirements_text,
        "conda": conda_text,
        "pylock": pylock_text,
    }
    make = texts[kind_of(path)]
    if path.exists() and not overwrite:
        raise IntactError("the output exists already", path=str(path), help="name another file, or replace it with --force")
    text = make(recorded)
    write_atomically(path, lambda temporary: _put(temporary, text), overwrite=overwrite)


def _put(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def requirements_of(recorded: Environment) -> tuple[Requirement, ...]:
    """Returns every distribution that code of the model comes from as an installer may be asked for it."""
    listed = {entry.name: entry for entry in recorded.distributions}
    if recorded.torch:  # what torch says of itself, which is what the comparison shows
        listed["torch"] = replace(listed.get("torch", Distribution("torch", "")), version=recorded.torch)
    return tuple(map(_requirement, sorted(listed.values(), key=lambda entry: (entry.name != "torch", entry.name.lower()))))


def _requirement(entry: Distribution) -> Requirement:
    if not _NAME.fullmatch(entry.name):
        return Requirement("", note="a distribution whose recorded name is none was left out")
    version, _, build = entry.version.partition("+")
    plain = _plain(entry.version)
    if entry.origin == "vcs" and _ADDRESS.fullmatch(entry.url) and _COMMIT.fullmatch(entry.commit):
        text = f"{entry.name} @ git+{entry.url}@{entry.commit}"
        return Requirement(text, entry.name, entry.url, entry.commit, f"recorded as {plain}, at that commit")
    if entry.origin not in ("index", "unknown"):
        where = f", commit {entry.commit}" if _COMMIT.fullmatch(entry.commit) else ""
        changed = " with changes on top" if entry.dirty else ""
        source = {"vcs": "a repository", "archive": "a file of its own"}.get(entry.origin, "a folder")
        return Requirement("", entry.name, note=f"{plain} was installed from {source}{where}{changed}: install it from there")
    if not _RELEASE.fullmatch(version):
        return Requirement("", entry.name, note=f"{plain} is no release that an index keeps: install it from where it came")
    note = (
        f"recorded as {plain}, a build of its own place; the release is asked for, because an index need not have the build"
        if build
        else ""
    )
    return Requirement(f"{entry.name}=={version}", entry.name, note=note)


def _plain(version: str) -> str:
    """A version that may stand in a comment; a line break in it would begin a requirement."""
    return version if re.fullmatch(r"[A-Za-z0-9.!+_-]{1,100}", version) else "the recorded version"


def requirements_text(recorded: Environment) -> str:
    """Returns a requirements.txt."""
    return "\n".join([*_head(recorded), *_requirement_lines(recorded, "")]) + "\n"


def conda_text(recorded: Environment) -> str:
    """Returns an environment.yml: Python from conda, everything else by pip, as torch is published."""
    python = ".".join(map(str, release_of(recorded.python)[:2]))
    lines = [*_head(recorded), "name: intact", "channels:", "  - conda-forge", "dependencies:"]
    lines += [f"  - python={python}" if python else "  - python", "  - pip"]
    pip = _requirement_lines(recorded, "      - ")
    if any(not line.lstrip().startswith("#") for line in pip):
        lines += ["  - pip:"]
    return "\n".join([*lines, *pip]) + "\n"


def _head(recorded: Environment) -> list[str]:
    machine = (recorded.implementation, recorded.python, "on", recorded.system, recorded.machine, recorded.libc)
    said = " ".join(word for word in machine if re.fullmatch(r"[A-Za-z0-9 .+_-]+", word))
    device = [f"# and for CUDA {recorded.cuda}"] if re.fullmatch(r"[0-9.]+", recorded.cuda) else []
    return [
        f"# Recorded with {said}",
        *device,
        "# Names and versions are those that the checkpoint tells: read them before you install",
    ]


def _requirement_lines(recorded: Environment, indent: str) -> list[str]:
    lines = []
    for requirement in requirements_of(recorded):
        if requirement.note:
            comment = " " * len(indent) + "# " + (f"{requirement.name}: " if requirement.name else "")
            lines.append(comment + requirement.note)
        if requirement.text:
            quoted = json.dumps(requirement.text) if indent and "@" in requirement.text else requirement.text
            lines.append(indent + quoted)
    return lines


def pylock_text(recorded: Environment) -> str:
    """Returns a pylock.toml with every dependency and the digest of every file, as the user's own installer resolves it.

    The digests are what such a file is for, and an installed distribution does not know those of the files that it came from. So
    pip, or uv, is asked; neither installs anything, and neither is let build a distribution, which would run its code.

    Raises:
        IntactError: The installer finds no set that fits.
        MissingDependency: Neither is there, or pip would have to lock for another Python than this one.

    Source:
        PEP 751; `pip lock` since pip 25.1, `uv pip compile --format pylock.toml` since uv 0.7.
    """
    asked = [requirement for requirement in requirements_of(recorded) if requirement.text]
    named = [requirement.text for requirement in asked if not requirement.address]
    if not named:
        raise IntactError("nothing that was recorded is on an index, so there is nothing to lock")
    with tempfile.TemporaryDirectory(prefix="intact-") as folder:
        wanted, lock = Path(folder) / "requirements.txt", Path(folder) / "pylock.toml"
        _put(wanted, "\n".join(named) + "\n")
        _resolve(_locker(recorded, wanted, lock))
        text = lock.read_text("utf-8")
    notes = [line for line in _requirement_lines(recorded, "") if line.startswith("#")]
    direct = [_direct(requirement) for requirement in asked if requirement.address]
    return "\n".join([*_head(recorded), *notes, "", text.strip(), *direct]) + "\n"


def _locker(recorded: Environment, wanted: Path, lock: Path) -> list[str]:
    """The command that locks: uv, which can do it for another Python, or the pip of this one."""
    python = release_of(recorded.python)[:2]
    if (uv := which("uv")) is not None:
        version = ["--python-version", ".".join(map(str, python))] if python else []
        only_built = ["--only-binary", ":all:", "--quiet"]
        return [uv, "pip", "compile", str(wanted), "--format", "pylock.toml", "-o", str(lock), *only_built, *version]
    if python and python != sys.version_info[:2]:
        raise MissingDependency(
            f"pip locks for the Python it runs on, {sys.version_info[0]}.{sys.version_info[1]}, and the recorded one is "
            f"{python[0]}.{python[1]}",
            help="install uv, run this with that Python, or write requirements.txt",
        )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    return [*pip, "lock", "--only-binary", ":all:", "-r", str(wanted), "-o", str(lock)]


def _resolve(command: list[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - the user's own installer, and names that were checked letter by letter
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=LOCKING_PATIENCE_S, text=True, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise IntactError(f"the installer could not be asked: {error}", help="write requirements.txt instead") from error
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr or 'unknown command "lock"' in done.stderr:
        raise MissingDependency("a lock needs uv, or pip 25.1 or later", help="install one of them, or write requirements.txt")
    said = next((line for line in reversed(done.stderr.strip().splitlines()) if "rror" in line), "it did not say why")
    raise IntactError(
        f"the installer finds no set of distributions that fits: {said[:500]}",
        help="write requirements.txt, and loosen what is not on your index",
    )


def _direct(requirement: Requirement) -> str:
    """One distribution from a repository, as PEP 751 writes it; every text in it was checked letter by letter."""
    name = re.sub(r"[-_.]+", "-", requirement.name).lower()
    vcs = f'[packages.vcs]\ntype = "git"\nurl = "{requirement.address}"\ncommit-id = "{requirement.commit}"'
    return f'\n[[packages]]\nname = "{name}"\n\n{vcs}'
