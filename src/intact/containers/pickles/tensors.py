"""Tensor records, made from the arguments of torch's rebuilding functions of every release.

Sizes, strides and offsets are held against the storage here, once, so that nothing behind this module can be led outside it. A
tensor that reaches outside is still recorded, with the reason, because only the walk over the whole file knows its key.

Source:
    torch 2.13 `_utils.py` and `_tensor.py`; 0.1 to 0.3 by the files of that age.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from operator import mul
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from intact.containers.pickles.lists import values_of_lists
from intact.containers.pickles.plain import unresolved
from intact.containers.pickles.values import ForeignTensor, GlobalName, StorageView
from intact.core.container import Storage, TensorRecord
from intact.core.dtype import dtype_named

if TYPE_CHECKING:
    from intact.containers.pickles.machine import Machine

DIMENSIONS_LIMIT = 256
"""More than any tensor has; torch's own kernels stop at 64."""
EXPANDED_LIMIT_BYTES = 1 << 36
"""Most bytes that a tensor may take when its stride of 0 is written out; a file of a few bytes could claim any number."""
LARGEST = (1 << 63) - 1

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def _integers(values: Any) -> tuple[int, ...] | None:
    if not isinstance(values, (tuple, list)) or len(values) > DIMENSIONS_LIMIT:
        return None
    for value in values:
        if type(value) is not int:
            return None
    return tuple(values)


def _outside(storage_elements: int, width: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> str:
    """Returns why a view reaches outside its storage, "" where it does not."""
    if shape:
        if max(shape) > LARGEST or max(stride) > LARGEST:
            return "its shape or stride is larger than any memory"
        if min(shape) < 0 or min(stride) < 0:
            return "its shape or stride is negative"
    if not 0 <= offset <= LARGEST:
        return "its offset is negative or larger than any memory"
    elements = prod(shape)
    if elements == 0:
        return ""
    last = offset + sum(map(mul, shape, stride)) - sum(stride)
    if last >= storage_elements:
        return f"its last element is number {last}, and the storage has {storage_elements}"
    if elements * width > max(EXPANDED_LIMIT_BYTES, storage_elements * width):
        return f"its shape {list(shape)} is far larger than the {storage_elements} elements behind it"
    return ""


def view(
    storage: Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], dtype: str = ""
) -> tuple[TensorRecord, str]:
    """Returns the record of a strided view, and why it reaches outside its storage, "" where it does not.

    Args:
        storage: The memory, whole or a part.
        offset: First element, counted from the begin of the storage or part.
        shape: In elements.
        stride: In elements, one for each dimension.
        dtype: Element type; that of the storage where it is left out.
    """
    whole, first = (storage.whole, storage.first) if isinstance(storage, StorageView) else (storage, 0)
    dtype = dtype or whole.dtype
    known = dtype_named(dtype)
    width = known.itemsize_bytes if known else 1
    elements = storage.size_bytes // width
    record = TensorRecord(whole, dtype, shape, stride, first + offset, "strided", _NOTHING, _NOTHING)
    return record, _outside(elements, width, offset, shape, stride)


def _record(machine: Machine, storage: Any, offset: Any, size: Any, stride: Any, dtype: str = "") -> TensorRecord | None:
    """Returns the record of a strided view, None where the arguments are of other types."""
    shape, steps = _integers(size), _integers(stride)
    if not isinstance(storage, Storage) or type(offset) is not int:
        return None
    if shape is None or steps is None or len(shape) != len(steps):
        return None
    record, why = view(storage, offset, shape, steps, dtype)
    if why:
        machine.problems[id(record)] = (record, why)
    return record


def _flags(record: TensorRecord, requires_grad: Any, metadata: Any) -> TensorRecord:
    record.requires_grad = requires_grad is True
    if isinstance(metadata, dict) and metadata:
        record.attributes = {flag: True for flag in ("conj", "neg") if metadata.get(flag) is True}
    return record


def rebuilt(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns the tensor of `_rebuild_tensor` and `_rebuild_tensor_v2`."""
    record = _record(machine, *args[:4]) if len(args) >= 4 else None
    if record is None:
        return unresolved(name, args)
    return _flags(record, args[4] if len(args) > 4 else False, args[6] if len(args) > 6 else None)


def rebuilt_with_dtype(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns the tensor of `_rebuild_tensor_v3`, whose storage has no type."""
    if len(args) < 7 or not isinstance(args[6], GlobalName) or not args[6].dtype:
        return unresolved(name, args)
    record = _record(machine, args[0], args[1], args[2], args[3], args[6].dtype)
    return unresolved(name, args) if record is None else _flags(record, args[4], args[7] if len(args) > 7 else None)


def parameter(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns the parameter around a tensor."""
    if len(args) >= 2 and isinstance(args[0], TensorRecord):
        return _twin(machine, args[0], requires_grad=args[1] is True, parameter=True)
    return unresolved(name, args)


def parameter_with_state(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns the parameter around a tensor, with the Python attributes it had."""
    made = parameter(machine, name, args)
    if isinstance(made, TensorRecord) and len(args) == 4:
        made.attributes = {**made.attributes, "state": args[3]}
    return made


def _twin(machine: Machine, record: TensorRecord, **changes: Any) -> TensorRecord:
    """Returns another tensor over the same memory, with the same fault where there is one."""
    made = replace(record, **changes)
    if id(record) in machine.problems:
        machine.problems[id(made)] = (made, machine.problems[id(record)][1])
    return made


def subclass(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns a tensor with Python attributes, or the record of one of a class of somebody else."""
    if len(args) != 4 or not isinstance(args[0], GlobalName) or not isinstance(args[1], GlobalName):
        return unresolved(name, args)
    made = machine.call(args[0], args[2])
    kind = args[1].name
    if kind not in ("torch.Tensor", "torch.nn.parameter.Parameter"):
        machine.mark_called(args[1])
        record = made if isinstance(made, TensorRecord) else None
        return ForeignTensor(kind, args[0:3:2] if record else (made,), state=args[3], record=record)
    if not isinstance(made, TensorRecord):
        return unresolved(name, args)
    made.parameter = made.parameter or kind == "torch.nn.parameter.Parameter"
    made.attributes = {**made.attributes, "state": args[3]}
    return made


def from_other_device(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns the CPU tensor that a device without storages was saved as."""
    if (
        len(args) == 4
        and isinstance(args[0], TensorRecord)
        and isinstance(args[1], GlobalName)
        and args[1].dtype == args[0].dtype
    ):
        return _twin(machine, args[0], requires_grad=args[3] is True)
    return unresolved(name, args)


def meta(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns a tensor that never had bytes."""
    shape, stride = (_integers(args[1]), _integers(args[2])) if len(args) == 4 else (None, None)
    if shape is None or stride is None or len(shape) != len(stride) or not isinstance(args[0], GlobalName) or not args[0].dtype:
        return unresolved(name, args)
    record = TensorRecord(None, args[0].dtype, shape, stride, layout="meta", requires_grad=args[3] is True)
    if any(not 0 <= n <= LARGEST for n in (*shape, *stride)) or prod(shape) > LARGEST:
        machine.problems[id(record)] = (record, f"shape {list(shape)} and stride {list(stride)} are impossible")
    return record


def layout(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns the name of a layout, as a pickle refers to it."""
    if len(args) == 1 and type(args[0]) is str and args[0].startswith("torch."):
        found = machine.name("torch", args[0].removeprefix("torch."), machine.begin)
        return found if found.known else unresolved(name, args)
    return unresolved(name, args)


_INDICES = {
    "sparse_csr": ("crow_indices", "col_indices"),
    "sparse_bsr": ("crow_indices", "col_indices"),
    "sparse_csc": ("ccol_indices", "row_indices"),
    "sparse_bsc": ("ccol_indices", "row_indices"),
}


def sparse(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns a sparse tensor of any layout, made of its component tensors."""
    if len(args) != 2 or not isinstance(args[0], GlobalName) or not isinstance(args[1], tuple):
        return unresolved(name, args)
    kind, data = args[0].name.removeprefix("torch."), args[1]
    names = _INDICES.get(kind, ("indices",))
    shape = _integers(data[len(names) + 1]) if len(data) >= len(names) + 2 else None
    members = data[: len(names) + 1]
    if not kind.startswith("sparse_") or shape is None or not all(isinstance(member, TensorRecord) for member in members):
        return unresolved(name, args)
    parts = dict(zip((*names, "values"), members, strict=True))
    attributes = {"is_coalesced": data[3] is True} if kind == "sparse_coo" and len(data) > 3 and data[3] is not None else {}
    record = TensorRecord(None, members[-1].dtype, shape, (), layout=kind, parts=parts, attributes=attributes)
    _check_composed(machine, record)
    return record


def _check_composed(machine: Machine, record: TensorRecord) -> None:
    for part, member in record.parts.items():
        if id(member) in machine.problems:
            machine.problems[id(record)] = (record, f"{part}: {machine.problems[id(member)][1]}")
    if any(not 0 <= n <= LARGEST for n in record.shape) or prod(record.shape) > LARGEST:
        machine.problems[id(record)] = (record, f"shape {list(record.shape)} is impossible")


def nested(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns a nested tensor: a flat buffer, and sizes, strides and offsets of its members."""
    if len(args) != 4 or not all(isinstance(member, TensorRecord) for member in args):
        return unresolved(name, args)
    parts = dict(zip(("buffer", "sizes", "strides", "offsets"), args, strict=True))
    record = TensorRecord(None, args[0].dtype, args[0].shape, (), layout="nested", parts=parts)
    _check_composed(machine, record)
    return record


def quantized(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns a quantized tensor with its scales and zero points."""
    record = _record(machine, *args[:4]) if len(args) >= 6 else None
    params = args[4] if record is not None else ()
    if record is None or not isinstance(params, tuple) or len(params) < 3 or not isinstance(params[0], GlobalName):
        return unresolved(name, args)
    record.layout = "quantized"
    record.requires_grad = args[5] is True
    scheme = params[0].name.removeprefix("torch.")
    if len(params) == 3 and isinstance(params[1], (int, float)) and isinstance(params[2], int):
        record.attributes = {"scheme": scheme, "scale": params[1], "zero_point": params[2]}
        return record
    if len(params) == 4 and type(params[3]) is int and 0 <= params[3] < len(record.shape):
        return _per_channel(machine, record, scheme, params) or unresolved(name, args)
    return unresolved(name, args)


def _per_channel(machine: Machine, record: TensorRecord, scheme: str, params: tuple[Any, ...]) -> TensorRecord | None:
    scales, zero_points, axis = params[1:]
    expected: tuple[int, ...] = (record.shape[axis],)
    found: list[tuple[int, ...]]
    if isinstance(scales, list) and isinstance(zero_points, list):
        record.attributes = {"scheme": scheme, "axis": axis, "scales": tuple(scales), "zero_points": tuple(zero_points)}
        found = [(len(scales),), (len(zero_points),)]
        machine.spend(8 * (len(scales) + len(zero_points)))
    elif isinstance(scales, TensorRecord) and isinstance(zero_points, TensorRecord):
        record.attributes = {"scheme": scheme, "axis": axis}
        record.parts = {"scales": scales, "zero_points": zero_points}
        found = [scales.shape, zero_points.shape]
        _check_composed(machine, record)
    else:
        return None
    if found != [expected, expected]:
        why = f"{found[0]} scales and {found[1]} zero points for {expected[0]} channels"
        machine.problems[id(record)] = (record, why)
    return record


def old_tensor(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns the tensor of `torch.FloatTensor(…)`, which before 0.4 is empty until its state comes, or holds nested lists."""
    if not args:
        return TensorRecord(None, name.dtype, (0,), (1,))
    found = values_of_lists(machine, args[0], name.dtype) if len(args) == 1 and isinstance(args[0], list) else None
    if found is None or machine.memory is None:
        return unresolved(name, args)
    raw, shape = found
    return _record(machine, machine.memory.hold(raw, name.dtype), 0, shape, _steps(shape))


def _steps(shape: tuple[int, ...]) -> tuple[int, ...]:
    steps = [1]
    for size in reversed(shape[1:]):
        steps.insert(0, steps[0] * size)
    return tuple(steps[: len(shape)])


def old_parameter(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns the parameter of `Parameter(tensor, …)`, as releases before 0.4 pickled it."""
    if not args:
        return TensorRecord(None, "float32", (0,), (1,), requires_grad=True, parameter=True)
    if isinstance(args[0], TensorRecord):
        return _twin(machine, args[0], requires_grad=len(args) < 2 or args[1] is True, parameter=True)
    return unresolved(name, args)


def build(machine: Machine, record: TensorRecord, state: Any) -> None:
    """Gives a tensor of before 0.4 its memory, or a parameter its flags.

    Raises:
        TypeError: The state has none of the forms that torch wrote.
    """
    if isinstance(state, dict):
        record.attributes = {**record.attributes, "state": state}
        return
    if not isinstance(state, tuple) or len(state) not in (3, 4, 5):
        raise TypeError("state of no known form for a tensor")
    if len(state) == 4:
        _adopt(machine, record, _record(machine, state[0], state[1], state[2], state[3]))
    elif len(state) == 5:
        _adopt(machine, record, state[0])
        record.requires_grad = state[3] is True
    else:
        record.requires_grad = state[0] is True


def _adopt(machine: Machine, record: TensorRecord, source: Any) -> None:
    if not isinstance(source, TensorRecord):
        raise TypeError("a tensor of no known memory")
    record.storage, record.dtype, record.offset = source.storage, source.dtype, source.offset
    record.shape, record.stride, record.layout, record.parts = source.shape, source.stride, source.layout, source.parts
    machine.problems.pop(id(record), None)
    if id(source) in machine.problems:
        machine.problems[id(record)] = (record, machine.problems[id(source)][1])


def loaded_from_bytes(machine: Machine, name: GlobalName, args: tuple[Any, ...]) -> Any:
    """Returns what a small file inside the pickle holds; `pickle.dump` of a tensor keeps its storage in one."""
    if len(args) == 1 and isinstance(args[0], (bytes, memoryview)) and machine.memory is not None:
        found = machine.memory.nested(args[0])
        machine.merge_foreign(found.foreign, machine.begin)
        machine.problems.update({id(record): (record, why) for record, why in found.problems})
        return found.value
    return unresolved(name, args)
