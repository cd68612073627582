"""What a save puts into a file, taken from a live model or state dict: pieces of memory, ties, entries, modes, versions.

A contiguous tensor on the CPU is written from where it is. Everything else (on another device, transposed, conjugated) is made
when its turn comes, one at a time. Nothing of the model is changed, and nothing but its own `state_dict` is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from intact.core.entries import NoForm, encode, is_unicode
from intact.core.manifest import Absent
from intact.core.wording import count, some
from intact.errors import IntactError
from intact.files.digests import digest
from intact.files.streaming import Piece
from intact.model.entries import entries_in
from intact.model.modes import Mode, mode_in
from intact.model.state import modules_of, state_of, ties_of

if TYPE_CHECKING:
    import torch

ABSENT_BYTES = 16 << 20
"""Largest tensor outside of the state dict whose bytes are digested; masks and tables, not weights."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is to be saved.

    Attributes:
        tensors: Each tensor under the first of its keys, in the order of the state dict.
        keys: All keys of tensors, in that order.
        ties: Groups of keys that are one tensor.
        entries: What else the state dict holds, encoded.
        versions: Of `state_dict()._metadata`, by module.
        mode: Training mode and learning of the model; None for a state dict.
        absent: Tensors outside of the state dict.
    """

    tensors: Mapping[str, torch.Tensor]
    keys: tuple[str, ...]
    ties: tuple[tuple[str, ...], ...]
    entries: Mapping[str, Any]
    versions: Mapping[str, int]
    mode: Mode | None = None
    absent: tuple[Absent, ...] = ()


def contents_of(source: torch.nn.Module | Mapping[str, Any], leave_out: Iterable[str] = ()) -> Contents:
    """Returns what a save of a model or a state dict writes.

    Args:
        source: The model, or a mapping of keys to tensors.
        leave_out: Keys that are not written, by the user's word.

    Raises:
        IntactError: It holds something that a sealed checkpoint has no form for.
        ModelError: The model's own `state_dict` raises.
    """
    import torch

    module = source if isinstance(source, torch.nn.Module) else None
    state: Mapping[str, Any] = state_of(module) if module is not None else source  # type: ignore[assignment]
    gone = set(leave_out)
    _refuse_names(state)
    held = {str(key): value for key, value in state.items() if isinstance(value, torch.Tensor) and str(key) not in gone}
    _refuse_unwritable(held)
    ties = ties_of(held)
    again = {key for group in ties for key in group[1:]}
    return Contents(
        {key: tensor for key, tensor in held.items() if key not in again},
        tuple(held),
        ties,
        _entries({key: value for key, value in state.items() if str(key) not in gone}),
        _versions(getattr(state, "_metadata", None)),
        mode_in(module) if module is not None else None,
        absent_of(module) if module is not None else (),
    )


def piece_of(tensor: torch.Tensor) -> Piece:
    """Returns the bytes of a tensor in C order: where they are, or as what is made when it is asked for."""
    size = tensor.numel() * tensor.element_size()
    if tensor.is_cpu and tensor.is_contiguous() and not tensor.is_conj() and not tensor.is_neg():
        return Piece(size, tensor.data_ptr()) if size else Piece(0, 0, lambda: memoryview(b""))
    return Piece(size, 0, lambda: bytes_of(tensor))


def bytes_of(tensor: torch.Tensor) -> memoryview:
    """Returns the bytes of a tensor in C order, in memory of the CPU."""
    import torch

    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy().data


def _refuse_names(state: Mapping[Any, Any]) -> None:
    """Raises for keys that have no form as text: the key 1 would come back as "1", or take the place of that one."""
    wrong = [repr(key) for key in state if not isinstance(key, str) or not is_unicode(key)]
    if wrong:
        raise IntactError(
            f"a sealed checkpoint cannot hold {count(len(wrong), 'key')} that {'is' if len(wrong) == 1 else 'are'} no text: "
            f"{', '.join(wrong[:3])}",
            evidence={"keys": wrong},
            help="give the entries names that are Unicode text",
        )


def _refuse_unwritable(tensors: Mapping[str, Any]) -> None:
    """Raises for what the format has no form for, before a byte is written."""
    import torch

    from intact.containers.safetensors_header import format_dtypes

    known = {getattr(torch, name, None) for name in format_dtypes()}
    plain = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
    wrong = {}
    for key, tensor in tensors.items():
        if type(tensor) in plain and tensor.dtype in known and tensor.layout is torch.strided and not tensor.is_meta:
            if key != "__metadata__":
                continue
            wrong[key] = "a name that the format keeps for itself"
        elif torch.nn.parameter.is_lazy(tensor) or tensor.is_meta:
            wrong[key] = "no values yet"
        elif tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
            wrong[key] = f"{'quantized' if tensor.is_quantized else str(tensor.layout).removeprefix('torch.')} layout"
        elif tensor.dtype not in known:
            wrong[key] = f"dtype {str(tensor.dtype).removeprefix('torch.')}"
        elif _is_wrapper(tensor):
            wrong[key] = f"class {type(tensor).__module__}.{type(tensor).__qualname__}"
    if wrong:
        first = next(iter(wrong))
        raise IntactError(
            f"a sealed checkpoint cannot hold {some(wrong)}: {wrong[first]}",
            evidence={"keys": list(wrong), "reasons": wrong},
            help="save plain, dense tensors: dequantize, densify or gather them first",
        )


def _is_wrapper(tensor: torch.Tensor) -> bool:
    """Whether its bytes are not in its own memory: distributed and quantized tensors of other libraries."""
    import torch
    from torch.utils._python_dispatch import is_traceable_wrapper_subclass

    return type(tensor) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer) and is_traceable_wrapper_subclass(tensor)


def _entries(state: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {key: encode(value, _plain_tensor, key) for key, value in entries_in(state).items()}
    except NoForm as error:
        raise IntactError(
            f"a sealed checkpoint cannot hold an entry of the state dict: {error}",
            help="give it as numbers, texts, lists, mappings and small tensors (in `get_extra_state`, say)",
        ) from None


def _plain_tensor(value: Any) -> tuple[str, tuple[int, ...], bytes] | None:
    import torch

    if not isinstance(value, torch.Tensor) or value.is_meta or value.layout != torch.strided or value.is_quantized:
        return None
    return str(value.dtype).removeprefix("torch."), tuple(value.shape), bytes(bytes_of(value))


def _versions(metadata: Any) -> dict[str, int]:
    if not isinstance(metadata, Mapping):
        return {}
    rows = ((path, entry.get("version")) for path, entry in metadata.items() if isinstance(entry, Mapping))
    return {str(path): version for path, version in rows if type(version) is int and is_unicode(str(path))}


def absent_of(model: torch.nn.Module) -> tuple[Absent, ...]:
    """Returns the buffers that a model keeps out of its state dict, with the digests of their bytes."""
    return tuple(_absent(model))


def _absent(model: torch.nn.Module) -> Iterator[Absent]:
    for path, module in modules_of(model):
        for name in sorted(module._non_persistent_buffers_set):
            buffer, key = module._buffers.get(name), f"{path}.{name}" if path else name
            if buffer is not None:
                yield Absent(key, str(buffer.dtype).removeprefix("torch."), tuple(buffer.shape), _digest(buffer))


def _digest(buffer: torch.Tensor) -> str:
    import torch

    plain = not buffer.is_meta and buffer.layout == torch.strided and not buffer.is_quantized
    return digest(bytes_of(buffer)).hex() if plain and buffer.numel() * buffer.element_size() <= ABSENT_BYTES else ""
