"""A model built again from its recorded architecture, and what has changed in its class since.

Nothing is built that was not proved when it was saved: missing arguments, other classes and signatures that no longer fit are
refused by name, so that what comes back is the model or an error, never a model that differs.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from intact.core.architecture import Architecture, ClassRecord, Constructor
from intact.errors import IntactError, LoadRefused
from intact.model.hyperparameters import hyperparameters_of
from intact.model.making.argument_values import Decoder, cast_floating, torch_constant
from intact.model.making.arguments import Encoder, Uncapturable
from intact.model.making.building import build
from intact.model.making.references import class_name_of, split
from intact.model.making.settings import apply
from intact.model.making.signatures import call, parameters_of, required
from intact.model.making.sources import digest_of
from intact.model.making.trust import Trust
from intact.model.making.wrappers import INNER, WRAPPERS, wrap
from intact.model.state import modules_of, short

if TYPE_CHECKING:
    import torch

CODE = "arch/class-differs"

_PLACE = re.compile(r"[/\\]|^(cpu|cuda|mps|xpu|hpu|meta|npu)(:\d+)?$")
"""Texts that change with the machine: paths and devices."""

ChangeKind = Literal["default-differs", "argument-added", "argument-removed", "argument-required", "source-differs"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing in which a class is not what it was when the model was saved.

    Attributes:
        kind: What changed.
        class_name: Of which class.
        name: The argument; "" where the class as a whole is meant.
        recorded: Before, as typed JSON or text.
        current: Now.
    """

    kind: ChangeKind
    class_name: str
    name: str = ""
    recorded: Any = None
    current: Any = None


@dataclass(frozen=True, slots=True)
class AttributeDifference:
    """One plain attribute that is not what it was.

    Attributes:
        path: Of the module.
        name: Of the attribute.
        recorded: Its value when the model was saved.
        current: Its value in the rebuilt model.
    """

    path: str
    name: str
    recorded: Any
    current: Any

    def __str__(self) -> str:
        """A clause for a message."""
        place = f"{self.path}.{self.name}" if self.path else self.name
        return f"`{place}` was {self.recorded!r} and is {self.current!r}"


def rebuild(
    architecture: Architecture,
    cls: type | None = None,
    *,
    trust: Sequence[str] = (),
    device: torch.device | str | None = None,
    most_bytes: int | None = None,
) -> torch.nn.Module:
    """Returns a new model of the recorded architecture, with whatever values its constructor gives it.

    Args:
        architecture: As recorded.
        cls: The model's class; without it only torch's layers, registered classes and trusted packages are used.
        trust: Packages that may be imported, and whose modules, functions and configurations may be used.
        device: Where to build; devices among the arguments are put there too.
        most_bytes: Bytes that the state of the model may have, asked on the meta device before memory is taken.

    Raises:
        LoadRefused: The arguments are not known or no longer fit (`arch/class-differs`), or something is not trusted.
    """
    constructor, name = architecture.constructor, architecture.class_name
    _refuse_unknown(architecture)
    if name in WRAPPERS:
        return _rebuilt_wrapper(architecture, cls, trust, device)
    root = _root(architecture, cls, Trust(None, trust))
    _refuse_misfits(root, constructor, name)
    rules = Trust(root, trust, name)
    if most_bytes is not None:
        _refuse_larger(lambda: call(root, _values(Decoder(rules, _on_meta), constructor)), most_bytes, name)
    decoder = Decoder(rules, lambda text: _device(text, device))
    return _built(architecture, lambda: call(root, _values(decoder, constructor)), device)


def signature_changes(architecture: Architecture, cls: type) -> list[Change]:
    """Returns what has changed in a class since a model of it was saved; nothing for the same class.

    Args:
        architecture: As recorded.
        cls: The class as it is now.
    """
    return list(_changes(architecture, cls))


def class_changes(architecture: Architecture, model: torch.nn.Module) -> list[Change]:
    """Returns what has changed in the classes of all modules of a model since it was saved."""
    records = {record.name: record for record in architecture.classes}
    classes = {class_name_of(type(module)): type(module) for _, module in modules_of(model)}
    return [change for name, cls in classes.items() if name in records for change in _source_changes(records[name], cls)]


def structure_differences(architecture: Architecture, model: torch.nn.Module) -> list[str]:
    """Returns the paths at which a model has no module, another one, or one more than was recorded."""
    recorded = {path: architecture.classes[cls].name for path, cls, _ in architecture.modules}
    held = {path: class_name_of(type(module)) for path, module in modules_of(model)}
    moved = split(architecture.class_name)[0], type(model).__module__
    return [path for path in dict.fromkeys([*recorded, *held]) if not _same_class(recorded.get(path), held.get(path), moved)]


def attribute_differences(architecture: Architecture, model: torch.nn.Module) -> list[AttributeDifference]:
    """Returns plain attributes of which the model holds another value than was recorded.

    Left out are attributes that one of the two does not have, a matter of versions, and texts that name a device or a place.
    """
    recorded, cache = architecture.module_infos(), dict[int, Any]()
    found = []
    for path, module in modules_of(model):
        before = recorded[path].hyperparameters if path in recorded else {}
        now = hyperparameters_of(module, cache)
        pairs = ((name, before[name], now[name]) for name in before.keys() & now.keys())
        found += [AttributeDifference(path, *row) for row in sorted(pairs, key=lambda row: row[0]) if not _same_value(*row[1:])]
    return found


def _same_value(recorded: Any, current: Any) -> bool:
    if isinstance(recorded, tuple) and isinstance(current, tuple):
        pairs = zip(recorded, current, strict=False)
        return len(recorded) == len(current) and all(_same_value(one, other) for one, other in pairs)
    if isinstance(recorded, str) and isinstance(current, str):
        return recorded == current or any(_PLACE.search(text) for text in (recorded, current))
    return type(recorded) is type(current) and (recorded == current or (recorded != recorded and current != current))


def _same_class(recorded: str | None, held: str | None, moved: tuple[str, str]) -> bool:
    """The same name, where the module of the model's own class may have moved."""
    if recorded is None or held is None or recorded == held:
        return recorded == held
    return (split(recorded)[0], split(held)[0]) == moved and split(recorded)[1] == split(held)[1]


def _built(architecture: Architecture, make: Any, device: Any) -> torch.nn.Module:
    import torch

    kept, constructor = torch.get_default_dtype(), architecture.constructor
    try:
        torch.set_default_dtype(torch_constant(constructor.default_dtype, "dtype"))
        with torch.device(device) if device is not None else nullcontext():
            model: torch.nn.Module = make()
        apply(model, constructor.settings)
        model = cast_floating(model, constructor.dtype)
    except IntactError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {short(str(error), 200)}"
        raise _refused(f"`{architecture.class_name}` cannot be built from its recorded arguments: {text}") from error
    finally:
        torch.set_default_dtype(kept)
    _refuse_other_structure(architecture, model)
    return model


def _values(decoder: Decoder, constructor: Constructor) -> dict[str, Any]:
    return {name: decoder.decode(value) for name, value in constructor.arguments.items()}


def _rebuilt_wrapper(
    architecture: Architecture, cls: type | None, trust: Sequence[str], device: torch.device | str | None
) -> torch.nn.Module:
    """The wrapper around its inner module; the inner module alone where its class was asked for."""
    data = architecture.constructor.arguments.get(INNER)
    name = str(data.get("c")) if isinstance(data, dict) else ""
    wanted = cls is not None and class_name_of(cls) not in WRAPPERS
    if wanted and cls is not None and split(class_name_of(cls))[1] != split(name)[1]:
        raise _refused(
            f"the file holds a `{name}` in a {split(architecture.class_name)[1]}, and a `{class_name_of(cls)}` was given"
        )
    decoder = Decoder(Trust(cls if wanted else None, trust, name), lambda text: _device(text, device))
    inner = _built(replace(architecture, class_name=name, modules=()), lambda: decoder.decode(data), device)
    if wanted:
        return inner
    try:
        return wrap(architecture.class_name, inner)
    except Exception as error:
        text = f"`{architecture.class_name}` cannot be built here: {short(str(error), 200)}"
        raise LoadRefused(text, help=f"pass the class of the module inside, `{name}`, and wrap the result yourself") from error


def _root(architecture: Architecture, cls: type | None, trust: Trust) -> type:
    if cls is None:
        found: type = trust.resolve(architecture.class_name, "module")
        return found
    recorded, given = architecture.class_name, class_name_of(cls)
    if split(recorded)[1].rpartition(".")[2] != cls.__name__:
        raise _refused(f"the file holds a `{recorded}`, and a `{given}` was given", recorded=recorded, given=given)
    return cls


def _refuse_unknown(architecture: Architecture) -> None:
    constructor, name = architecture.constructor, architecture.class_name
    if constructor.uncaptured:
        listed = "; ".join(f"`{argument}` ({reason})" for argument, reason in constructor.uncaptured)
        raise _refused(
            f"not all arguments of `{name}` are recorded: {listed}; {constructor.reason}",
            uncaptured=[row[0] for row in constructor.uncaptured],
        )
    if constructor.how == "none" or not constructor.proved:
        raise _refused(f"the arguments of `{name}` were not proved when it was saved: {constructor.reason}")


def _refuse_misfits(cls: type, constructor: Constructor, name: str) -> None:
    now = parameters_of(cls)
    names = {parameter.name for parameter in now}
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in now)
    removed = [argument for argument in constructor.arguments if argument not in names and not open_ended]
    added = [parameter.name for parameter in now if required(parameter) and parameter.name not in constructor.arguments]
    if removed:
        listed = ", ".join(f"`{argument}`" for argument in removed)
        raise _refused(f"`{name}` was saved with the argument {listed}, which the class no longer takes", removed=removed)
    if added:
        listed = ", ".join(f"`{argument}`" for argument in added)
        raise _refused(f"`{name}` now requires the argument {listed}, which was not there when it was saved", required=added)


def _refuse_larger(make: Callable[[], torch.nn.Module], most_bytes: int, name: str) -> None:
    """Arguments from a hostile file can ask for any size; a constructor that does not work on meta is not asked."""
    try:
        model = build(make, "meta")
    except IntactError:
        raise
    except Exception:  # noqa: BLE001 - it will say so again where it is built for real
        return
    held = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()] if not hasattr(tensor, "cls_to_become")}
    size = sum(tensor.numel() * tensor.element_size() for tensor in held.values())
    if size > most_bytes:
        raise _refused(f"the recorded arguments of `{name}` make a model of {size} bytes, and the file can fill {most_bytes}")


def _on_meta(text: str) -> torch.device:
    import torch

    del text
    return torch.device("meta")


def _refuse_other_structure(architecture: Architecture, model: torch.nn.Module) -> None:
    if not architecture.modules:
        return
    name = architecture.class_name
    paths = structure_differences(architecture, model)
    if paths:
        first = ", ".join(f"`{path or 'the model'}`" for path in paths[:3])
        raise _refused(f"the rebuilt `{name}` has other modules than the saved one, {len(paths)} of them: {first}", modules=paths)
    others = attribute_differences(architecture, model)
    if others:
        listed = "; ".join(str(other) for other in others[:3])
        raise _refused(f"the rebuilt `{name}` is not the saved one, {len(others)} attributes differ: {listed}")


def _refused(message: str, **evidence: Any) -> LoadRefused:
    help_text = "build the model as it was when it was saved, and use intact.load_into"
    return LoadRefused(message, code=CODE, evidence=evidence, help=help_text)


def _device(text: str, device: torch.device | str | None) -> torch.device:
    """The recorded device where it is there, else the one asked for."""
    import torch

    if device is not None:
        return torch.device(device)
    try:
        found = torch.device(text)
        there = found.type in ("cpu", "meta") or torch.empty(0, device=found) is not None
    except Exception:  # noqa: BLE001 - each backend says in its own way that it is not there
        there = False
    return found if there else torch.device("cpu")


def _changes(architecture: Architecture, cls: type) -> Iterator[Change]:
    name = architecture.class_name
    recorded = {row.name: row for row in architecture.constructor.signature}
    current = {parameter.name: parameter for parameter in parameters_of(cls)}
    for argument, row in recorded.items():
        if argument not in current:
            yield Change("argument-removed", name, argument, row.default)
        elif row.has_default and row.default != (default := _encoded_default(current[argument])):
            yield Change("default-differs", name, argument, row.default, default)
    for argument, parameter in current.items():
        if argument not in recorded:
            yield Change(
                "argument-required" if required(parameter) else "argument-added",
                name,
                argument,
                None,
                _encoded_default(parameter),
            )
    record = next((record for record in architecture.classes if record.name == name), None)
    if record is not None:
        yield from _source_changes(record, cls)


def _source_changes(record: ClassRecord, cls: type) -> Iterator[Change]:
    current = digest_of(cls)
    if record.digest and current and record.digest != current:
        yield Change("source-differs", record.name, "", record.digest, current)


def _encoded_default(parameter: inspect.Parameter) -> Any:
    try:
        return Encoder().encode(parameter.default)
    except Uncapturable:
        return None
