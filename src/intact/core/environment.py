"""The environment of a model: versions, devices and settings that decide whether it loads elsewhere and computes the same.

A record of plain texts and numbers that is written into a sealed checkpoint and read back from one. What is not known is empty or
None, never a guess. No path of the machine is in it, and nothing that names its user. A record that is read comes from a file, so
that every length and every count is bounded before it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

LONGEST_TEXT = 300
"""Characters of one text; the longest that programs write of themselves are addresses of repositories."""

MOST_ENTRIES = 512
"""Distributions, devices or modules in one list; a model whose code comes from more places was not met yet."""

LONGEST_RECORD = 1_000_000
"""Characters of a whole record; a large model's has about two thousand."""

Text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
Texts = Annotated[tuple[Text, ...], msgspec.Meta(max_length=MOST_ENTRIES)]
Origin = Literal["index", "vcs", "archive", "folder", "editable", "unknown"]
"""Where an installed distribution came from: a package index, a repository, a file of its own, a folder, or a folder in use."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """One installed distribution that code of the model comes from.

    Attributes:
        name: As it calls itself (`scikit-learn`).
        version: With its local part (`2.13.0+cpu`).
        modules: Top-level names by which the model reaches it.
        classes: Classes of the model, or bases of them, that it provides; none where only functions of it are used.
        origin: Where it was installed from.
        url: Of a repository or archive, without credentials; "" for local places, which mean nothing elsewhere.
        commit: Of a repository, or of the work tree that an editable one is used from.
        dirty: Whether its files in that work tree differ from the commit; None where that is not known.
    """

    name: Text
    version: Text
    modules: Texts = ()
    classes: Texts = ()
    origin: Origin = "unknown"
    url: Text = ""
    commit: Text = ""
    dirty: bool | None = None


@dataclass(frozen=True, slots=True)
class SourceTree:
    """Code of the model that belongs to no distribution: scripts and folders of the user's own.

    Attributes:
        modules: Top-level names of its modules.
        classes: Classes of the model that it provides.
        commit: Of the git work tree it lies in, "" where there is none.
        dirty: Whether its files differ from that commit; None where that is not known.
    """

    modules: Texts
    classes: Texts = ()
    commit: Text = ""
    dirty: bool | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Switches of torch that change what the same code computes.

    Attributes:
        default_dtype: Of tensors that are made without naming one.
        deterministic: Whether torch refuses operations that may differ from run to run (`on`), warns, or neither (`off`).
        cudnn_benchmark: Whether cuDNN tries algorithms and takes the quickest.
        cudnn_deterministic: Whether cuDNN takes deterministic algorithms only.
        matmul_precision: `highest`, `high` or `medium`; `mixed` where the older and the newer switches contradict each other.
        cuda_matmul: How float32 matrices are multiplied on CUDA (`ieee`, `tf32`, `none` where it is left to torch).
        cudnn_convolution: The same for convolutions.
        threads: That one operation on the CPU uses.
    """

    default_dtype: Text
    deterministic: Literal["off", "warn", "on"]
    cudnn_benchmark: bool
    cudnn_deterministic: bool
    matmul_precision: Text
    cuda_matmul: Text
    cudnn_convolution: Text
    threads: int


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a model was saved, or where it is now.

    Attributes:
        python: Version (`3.11.7`).
        implementation: `CPython`, `PyPy`.
        system: `Linux`, `Darwin`, `Windows`.
        machine: `x86_64`, `arm64`.
        libc: Name and version (`glibc 2.39`).
        cpu: What torch makes use of (`AVX2`, `AVX512`).
        torch: Version with its local part; "" where torch is not installed or not known.
        torch_commit: That it was built from.
        cuda: Version that torch was built for.
        hip: The same for AMD devices.
        cudnn: Version.
        driver: Version of the device's driver.
        devices: Names of the accelerators there are; None where nobody asked.
        settings: Switches of torch; None where torch was not asked.
        distributions: That code of the model comes from, by name.
        sources: Code of the model that belongs to no distribution.
    """

    python: Text = ""
    implementation: Text = ""
    system: Text = ""
    machine: Text = ""
    libc: Text = ""
    cpu: Text = ""
    torch: Text = ""
    torch_commit: Text = ""
    cuda: Text = ""
    hip: Text = ""
    cudnn: Text = ""
    driver: Text = ""
    devices: Texts | None = None
    settings: Settings | None = None
    distributions: Annotated[tuple[Distribution, ...], msgspec.Meta(max_length=MOST_ENTRIES)] = ()
    sources: Annotated[tuple[SourceTree, ...], msgspec.Meta(max_length=MOST_ENTRIES)] = ()

    def to_json(self) -> str:
        """Returns the record as JSON text, the same for equal records."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Environment:
        """Returns the record that a JSON text holds; members that this version does not know are passed over.

        Raises:
            ValueError: It is no such record, or longer than any.
        """
        if len(text) > LONGEST_RECORD:
            raise ValueError(f"the record of the environment has {len(text):,} characters, and {LONGEST_RECORD:,} are the limit")
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise ValueError(f"the record of the environment is malformed: {error}") from None

    def distribution(self, name: str) -> Distribution | None:
        """Returns the distribution of that name, None where there is none."""
        return next((entry for entry in self.distributions if entry.name == name), None)
