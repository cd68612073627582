"""What is wrong with tensors that are registered: no memory, no shape yet, no numbers, memory that two of them share in part.

Every save asks this of every tensor, so the first look is at an address and one element; only what looks wrong is looked at
whole.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from intact.core.inventory import Grade, Item
from intact.model.expectation import tensor_info

if TYPE_CHECKING:
    import torch

MOST_ELEMENTS = 4_000_000
"""Elements of two tensors whose places in memory are compared one by one."""

Places = dict[str, tuple["torch.Tensor", "torch.nn.Module"]]


class Registered:
    """All registered tensors of a model that its state dict holds by torch's own rules, each once.

    Attributes:
        tensors: Key to tensor and to the module that registers it.
        parameters: How many of them are parameters.
        suspects: Kind and key of those that the first look finds wrong.
        spans: Address where each begins and ends, and its key, for those in the memory of the CPU.
        elsewhere: Keys of those on other devices, by device.
    """

    def __init__(self) -> None:
        import torch

        self.tensors: Places = {}
        self.parameters = 0
        self.suspects: list[tuple[str, str]] = []
        self.spans: list[tuple[int, int, str]] = []
        self.elsewhere: dict[Any, list[str]] = {}
        self._strided = torch.strided
        self._exact = frozenset({torch.Tensor, torch.nn.Parameter, torch.nn.Buffer})
        self._lazy = (torch.nn.UninitializedParameter, torch.nn.UninitializedBuffer)
        self._words: dict[Any, tuple[Any, int, int]] = {
            torch.float32: (ctypes.c_uint32.from_address, 0x7FFFFFFF, 0x7F800000),
            torch.float64: (ctypes.c_uint64.from_address, 0x7FFFFFFFFFFFFFFF, 0x7FF0000000000000),
            torch.float16: (ctypes.c_uint16.from_address, 0x7FFF, 0x7C00),
            torch.bfloat16: (ctypes.c_uint16.from_address, 0x7FFF, 0x7F80),
        }

    def add(self, key: str, tensor: torch.Tensor, module: torch.nn.Module) -> None:
        """Takes a tensor in, and looks at its address and its first element.

        The element is read from memory, because asking torch for it costs ten times as much; no other kind of tensor than torch's
        own on the CPU is read like that.
        """
        self.tensors[key] = (tensor, module)
        if type(tensor) not in self._exact or not tensor.is_cpu or tensor.layout is not self._strided:
            self._unusual(key, tensor)
            return
        size_bytes = tensor.nbytes
        begin = tensor.data_ptr() if size_bytes else 0
        if not begin:
            self.suspects.append(("empty", key))
            return
        self.spans.append((begin, begin + size_bytes, key))
        word = self._words.get(tensor.dtype)
        if word is not None and (word[0](begin).value & word[1]) > word[2]:
            self.suspects.append(("nan", key))

    def _unusual(self, key: str, tensor: torch.Tensor) -> None:
        if isinstance(tensor, self._lazy):
            self.suspects.append(("lazy", key))
        elif tensor.is_meta:
            self.suspects.append(("meta", key))
        elif type(tensor) in self._exact and tensor.layout is self._strided:
            if tensor.numel():
                self.elsewhere.setdefault(tensor.device, []).append(key)
            else:
                self.suspects.append(("empty", key))


def nan_on_devices(registered: Registered) -> Iterator[str]:
    """Yields keys of tensors on other devices whose first element is no number; one question for each device."""
    import torch

    for keys in registered.elsewhere.values():
        tensors = {key: registered.tensors[key][0].detach() for key in keys}
        firsts = {
            key: tensor.as_strided((1,), (1,), tensor.storage_offset()).float()
            for key, tensor in tensors.items()
            if tensor.is_floating_point()
        }
        wrong = torch.cat(list(firsts.values())).isnan().tolist() if firsts else []
        yield from (key for key, is_nan in zip(firsts, wrong, strict=True) if is_nan)


def wrong_tensors(registered: Registered) -> Iterator[Item]:
    """Yields registered tensors that have nothing to save, or no number in them."""
    for kind, key in registered.suspects:
        if kind in ("lazy", "meta"):
            yield _item(registered, kind, key, "lost", "")
        elif kind == "empty" and (why := _placeholder(key, *registered.tensors[key])):
            yield _item(registered, "placeholder", key, "lost", why)
    asked = [key for kind, key in registered.suspects if kind == "nan"]
    yield from _nan(registered, [*asked, *nan_on_devices(registered)])


def _item(registered: Registered, kind: Any, key: str, grade: Grade, why: str) -> Item:
    tensor, module = registered.tensors[key]
    info = tensor_info(key, tensor)
    return Item(kind, key, type(tensor).__name__, type(module).__name__, (info,), grade, why, key.rpartition(".")[2])


def _placeholder(key: str, tensor: torch.Tensor, module: torch.nn.Module) -> str:
    """Why a parameter of no elements stands for one that lives elsewhere; "" where it is just empty."""
    shape = getattr(tensor, "ds_shape", None)
    if shape is not None:
        return f"its shape is {list(shape)}, and ZeRO keeps its parts on other ranks"
    if any(name.startswith("ds_") for name in getattr(tensor, "__dict__", ())):
        return "ZeRO keeps its parts on other ranks"
    wanted = _dimensions(module) if key.rpartition(".")[2] == "weight" else 0
    return f"a `{type(module).__name__}` has a weight of {wanted} dimensions" if wanted > tensor.dim() else ""


def _dimensions(module: torch.nn.Module) -> int:
    """Dimensions of the weight of the layers of torch's own whose weight always has more than one."""
    import torch

    nn = torch.nn
    if isinstance(module, nn.Linear | nn.Embedding | nn.EmbeddingBag):
        return 2
    if isinstance(module, nn.modules.conv._ConvNd | nn.Bilinear):
        return 3
    return 0


def _nan(registered: Registered, keys: list[str]) -> Iterator[Item]:
    import torch

    whole: list[tuple[str, int]] = []
    part: list[tuple[str, int]] = []
    for key in keys:
        wrong = registered.tensors[key][0].detach().isnan()
        (whole if bool(wrong.all()) else part).append((key, int(wrong.sum())))
    learned = [key for key, _ in (*whole, *part) if isinstance(registered.tensors[key][0], torch.nn.Parameter)]
    for key, count in (*whole, *part):
        tensor = registered.tensors[key][0]
        if not learned and tensor.numel() == 1:
            continue  # a buffer of one element that says "none yet"
        every = count == tensor.numel()
        grade: Grade = "lost" if every and learned else "doubtful"
        evidence = "every value is nan" if every else f"{count:,} of {tensor.numel():,} values are nan"
        yield _item(registered, "nan", key, grade, evidence)


def overlaps(registered: Registered) -> Iterator[Item]:
    """Yields tensors that share part of their memory with another one, or all of it in another order."""
    end, holder = 0, ""
    for begin, stop, key in sorted(registered.spans):
        if begin < end and _share(registered, holder, key):
            yield replace(_item(registered, "overlap", key, "doubtful", ""), partner=holder)
        if stop > end:
            end, holder = stop, key


def _share(registered: Registered, one: str, other: str) -> bool:
    """Whether two tensors have elements in common, and are not the same view of them."""
    import torch

    a, b = registered.tensors[one][0], registered.tensors[other][0]
    if a is b or a.untyped_storage().data_ptr() != b.untyped_storage().data_ptr():
        return False
    if (a.data_ptr(), a.shape, a.stride()) == (b.data_ptr(), b.shape, b.stride()):
        return False  # tied, and kept so
    if (a.is_contiguous() and b.is_contiguous()) or a.numel() + b.numel() > MOST_ELEMENTS:
        return True
    elements = a.untyped_storage().nbytes() // a.element_size()
    marks = [torch.zeros(elements, dtype=torch.bool) for _ in (a, b)]
    for mark, tensor in zip(marks, (a, b), strict=True):
        mark.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset()).fill_(True)
    return bool((marks[0] & marks[1]).any())
