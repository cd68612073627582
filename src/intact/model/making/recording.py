"""Constructor arguments kept from the call itself, for classes that were prepared for it.

`@recorded` or the mixin `Recorded` wraps `__init__`; the outermost call is kept with the instance, so that a subclass that passes
other things to its base is never taken for the base. Lists and dicts are copied at the time of the call, because constructors
change them; modules are kept by reference, and tensors only when they are small.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch

ATTRIBUTE = "_recorded_call"
"""Under this name the call stands in the instance's dictionary; it is no state, and comparisons skip it."""

LARGEST_TENSOR_BYTES = 4096
"""Tensors up to this size are arguments; larger ones are state."""

_MARK = "_intact_records"
T = TypeVar("T", bound=type)


class RecordedCall:
    """The arguments of one call by parameter name; without a dictionary, so that walks over objects pass it by."""

    __slots__ = ("values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def __deepcopy__(self, memo: dict[int, Any]) -> RecordedCall:
        """A copy whose modules are those of the copied model."""
        return RecordedCall(copy.deepcopy(self.values, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickled model holds a plain dict, so that nobody needs this package to open it."""
        return (dict, (self.values,))


class TooLarge:
    """Stands for an argument that was not kept."""

    __slots__ = ("what",)

    def __init__(self, what: str) -> None:
        self.what = what


def recorded(cls: T) -> T:
    """Returns the class, whose new instances keep their constructor's arguments for `intact.save`.

    Example:
        >>> import intact, torch
        >>> @intact.recorded
        ... class Net(torch.nn.Linear):
        ...     def __init__(self, width: int) -> None:
        ...         super().__init__(width, 2 * width)
    """
    init: Any = cls.__init__  # type: ignore[misc]  # wrapped, not called
    if not getattr(init, _MARK, False):
        cls.__init__ = _wrapped(init)  # type: ignore[misc]
    return cls


class Recorded:
    """A mixin: instances of its subclasses keep their constructor's arguments for `intact.save`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Prepares each subclass as `recorded` does."""
        super().__init_subclass__(**kwargs)
        recorded(cls)


def recorded_call(module: torch.nn.Module) -> RecordedCall | None:
    """Returns what was kept of the call that made a module; None where its class was not prepared."""
    found = vars(module).get(ATTRIBUTE)
    if isinstance(found, dict):  # the model was pickled in between
        return RecordedCall(found)
    return found if isinstance(found, RecordedCall) else None


def _wrapped(init: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(init)

    @functools.wraps(init)
    def record(self: Any, *args: Any, **kwargs: Any) -> None:
        if type(self).__init__ is record:
            self.__dict__[ATTRIBUTE] = _call(signature, (self, *args), kwargs)
        init(self, *args, **kwargs)

    setattr(record, _MARK, True)
    return record


def _call(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> RecordedCall | None:
    """The bound arguments without `self`; None where the call does not fit, so that `__init__` itself may say so."""
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return None
    bound.apply_defaults()
    return RecordedCall({name: _kept(value) for name, value in list(bound.arguments.items())[1:]})


def _kept(value: Any) -> Any:
    if type(value) in (list, tuple, set):
        return type(value)(_kept(item) for item in value)
    if type(value) is dict:
        return {key: _kept(item) for key, item in value.items()}
    if type(value).__module__.startswith("torch") and hasattr(value, "untyped_storage"):
        return _kept_tensor(value)
    return value


def _kept_tensor(tensor: torch.Tensor) -> Any:
    size_bytes = tensor.numel() * tensor.element_size()
    if size_bytes > LARGEST_TENSOR_BYTES:
        return TooLarge(f"a tensor of {size_bytes} bytes; up to {LARGEST_TENSOR_BYTES} are kept as an argument")
    return tensor.detach().clone()
