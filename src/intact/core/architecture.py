"""What a model is made of, as a record: its class, the arguments of its constructor, its tree of modules, its classes' sources.

The record is plain data and travels as JSON in a sealed checkpoint. Modules that are alike share one variant, and configuration
objects that hundreds of modules hold are kept once. Reading the text trusts nothing in it: whatever is malformed, too long or
nested too deeply is a `ValueError`. Arguments are typed JSON (`intact.model.making.arguments`); here they are only carried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal

from intact.core.description import ModuleInfo, Plain

MOST_BYTES = 64 << 20
"""Bytes of the text; a model of 100,000 modules needs about 10 MiB."""

MOST_DEPTH = 100
"""Nesting of encoded arguments; a module given to a module given to a module takes four levels each."""

How = Literal["recorded", "config", "reconstructed", "none"]
Kind = Literal["positional-only", "positional", "var-positional", "keyword-only", "var-keyword"]


@dataclass(frozen=True, slots=True)
class ParameterRecord:
    """One parameter of a constructor.

    Attributes:
        name: As in the signature.
        kind: How it can be given.
        has_default: Whether it may be left out.
        default: Its default as typed JSON; None also where it could not be encoded.
    """

    name: str
    kind: Kind
    has_default: bool = False
    default: Any = None


@dataclass(frozen=True, slots=True)
class Constructor:
    """How the root of the model was made.

    Attributes:
        how: Where the arguments are from; "none" where they could not be found.
        arguments: Typed JSON by parameter name; those of `*args` as one list, those of `**kwargs` as one dict.
        signature: Parameters of the class at the time.
        uncaptured: Name and reason of every argument that is not in `arguments`.
        proved: Whether a model rebuilt from the arguments had the same structure and attributes.
        reason: Why not, where it is not proved.
        dtype: What the floating-point state was cast to as a whole after construction; "" where it was not.
        default_dtype: torch's default dtype under which the arguments were proved.
        settings: Plain attributes that were set after construction: path of the module, name, typed JSON.
    """

    how: How = "none"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    signature: tuple[ParameterRecord, ...] = ()
    uncaptured: tuple[tuple[str, str], ...] = ()
    proved: bool = False
    reason: str = ""
    dtype: str = ""
    default_dtype: str = "float32"
    settings: tuple[tuple[str, str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ClassRecord:
    """One class that modules of the model have.

    Attributes:
        name: `module:Qualname`.
        digest: Of its source, with the algorithm in front; "" where there is no source.
        distribution: Name of what it was installed with; "" where that is not known.
        lazy_names: State that it registers only when first used.
        signature: Parameters of its constructor.
    """

    name: str
    digest: str = ""
    distribution: str = ""
    lazy_names: tuple[str, ...] = ()
    signature: tuple[ParameterRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """What modules that are alike have in common.

    Attributes:
        extra_repr: What the module prints of itself.
        hyperparameters: Plain attributes as typed JSON.
        tables: Name of a configuration object, and its place in `Architecture.tables`.
    """

    extra_repr: str = ""
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Architecture:
    """The whole record.

    Attributes:
        class_name: `module:Qualname` of the root.
        constructor: Its arguments.
        modules: Path, place in `classes`, place in `variants`; parents first.
        variants: Each distinct set of attributes once.
        tables: Each distinct configuration object once.
        classes: Each class once.
        sources: Text of the classes by name, only where it was asked for.
    """

    class_name: str
    constructor: Constructor = Constructor()
    modules: tuple[tuple[str, int, int], ...] = ()
    variants: tuple[Variant, ...] = ()
    tables: tuple[dict[str, Any], ...] = ()
    classes: tuple[ClassRecord, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Returns the record as JSON text."""
        import msgspec

        return msgspec.json.encode(self).decode()

    @staticmethod
    def from_json(text: str) -> Architecture:
        """Returns the record that a text holds.

        Raises:
            ValueError: The text is no such record, is too long, or refers to what is not in it.
        """
        import msgspec

        if len(text) > MOST_BYTES:
            raise ValueError(f"the architecture has {len(text)} characters, and {MOST_BYTES} are the most that are read")
        try:
            found = msgspec.json.decode(text, type=Architecture)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise ValueError(f"the architecture cannot be read: {error}") from None
        _check(found)
        return found

    def module_infos(self) -> dict[str, ModuleInfo]:
        """Returns the modules by path, as a live model describes its own."""
        children: dict[str, list[str]] = {path: [] for path, _, _ in self.modules}
        for path, _, _ in self.modules:
            owner, _, name = path.rpartition(".")
            if path:
                children.setdefault(owner, []).append(name)
        plain = [self._hyperparameters(variant) for variant in self.variants]
        dotted = [(record.name.replace(":", "."), frozenset(record.lazy_names)) for record in self.classes]
        return {
            path: ModuleInfo(path, dotted[cls][0], plain[variant], dotted[cls][1], tuple(children[path]))
            for path, cls, variant in self.modules
        }

    def _hyperparameters(self, variant: Variant) -> dict[str, Plain]:
        found = {name: plain_of(value) for name, value in variant.hyperparameters.items()}
        for prefix, place in variant.tables:
            found.update((f"{prefix}.{name}", plain_of(value)) for name, value in self.tables[place].items())
        return found


@lru_cache(maxsize=8)
def read_architecture(text: str) -> Architecture:
    """Returns the record that a text holds, the same one for the same text: a load asks for it several times.

    Raises:
        ValueError: As for `Architecture.from_json`.
    """
    return Architecture.from_json(text)


@lru_cache(maxsize=8)
def read_modules(text: str) -> Mapping[str, ModuleInfo]:
    """Returns the modules of the record that a text holds, by path.

    Raises:
        ValueError: As for `Architecture.from_json`.
    """
    return MappingProxyType(read_architecture(text).module_infos())


def plain_of(value: Any) -> Plain:
    """Returns one hyperparameter from its typed JSON; sequences as tuples."""
    if isinstance(value, list):
        return tuple(plain_of(item) for item in value)
    if isinstance(value, dict):
        return _plain_of_tagged(value)
    return value if isinstance(value, bool | int | float | str) else None


def _plain_of_tagged(value: dict[str, Any]) -> Plain:
    kind, inner = value.get("~"), value.get("v")
    if kind == "tuple" and isinstance(inner, list):
        return plain_of(inner)
    if kind in ("float", "int") and isinstance(inner, str):
        try:
            return float(inner) if kind == "float" else int(inner, 16)
        except (ValueError, OverflowError):
            return None
    return str(inner) if isinstance(inner, str) else None


def _check(found: Architecture) -> None:
    for path, cls, variant in found.modules:
        if not (0 <= cls < len(found.classes) and 0 <= variant < len(found.variants)):
            raise ValueError(f"module {path[:80]!r} refers to a class or variant that the architecture does not hold")
    if len({path for path, _, _ in found.modules}) != len(found.modules):
        raise ValueError("the architecture holds two modules under one path")
    for variant_record in found.variants:
        if any(not 0 <= place < len(found.tables) for _, place in variant_record.tables):
            raise ValueError("a module refers to a configuration that the architecture does not hold")
    encoded: list[Any] = [
        found.constructor.arguments,
        found.constructor.settings,
        found.tables,
        [row.hyperparameters for row in found.variants],
    ]
    encoded += [row.default for record in found.classes for row in record.signature]
    encoded += [row.default for row in found.constructor.signature]
    if _depth(encoded) > MOST_DEPTH:
        raise ValueError(f"arguments are nested more than {MOST_DEPTH} deep")


def _depth(data: Any) -> int:
    """How deeply lists and mappings are nested, counted without recursion and no further than needed."""
    level, depth = [data], 0
    while level and depth <= MOST_DEPTH:
        depth += 1
        following: list[Any] = []
        for item in level:
            if isinstance(item, Mapping):
                following.extend(item.values())
            elif isinstance(item, list | tuple):
                following.extend(item)
        level = following
    return depth
