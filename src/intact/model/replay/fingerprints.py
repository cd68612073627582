"""Fingerprints of live tensors: a digest of all bits, and a sketch that tells how far two tensors are apart.

The sketch is taken of at most four thousand elements at fixed places, spread over the whole tensor and jittered, so that no
stride of a layout hides a change. Its projections are sums with fixed random signs: the mean square of their differences is the
squared distance, whatever the tensor. All of it is computed in float64, so that a sketch adds no rounding of its own.
"""

from __future__ import annotations

import base64
import weakref
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from intact.core.probe import PROJECTIONS, Fingerprint
from intact.files.digests import digest
from intact.model.contents import bytes_of

if TYPE_CHECKING:
    import numpy
    import torch

SAMPLE = 4096
"""Elements behind a sketch: more would cost as much time as the layers that are looked at."""

MOST_FINITE = 1e9
"""From here on a value stands for infinity: masks hold the smallest number of their dtype, beside which nothing else would
count."""

_WIDE = ("float64", "complex128", "int64")


class Fingerprints:
    """Fingerprints of one run, each tensor once while it is alive and unchanged.

    Attributes:
        prints: Each distinct one, in the order in which they were met.
    """

    def __init__(self) -> None:
        self.prints: list[Fingerprint] = []
        self._places: dict[Fingerprint, int] = {}
        self._seen: dict[int, tuple[weakref.ref[Any], int, int]] = {}

    def place_of(self, tensor: torch.Tensor) -> int:
        """Returns the place of a tensor's fingerprint in `prints`."""
        kept = self._seen.get(id(tensor))
        version = _version(tensor)
        if kept is not None and kept[0]() is tensor and kept[1] == version >= 0:
            return kept[2]
        made = fingerprint(tensor)
        place = self._places.setdefault(made, len(self.prints))
        if place == len(self.prints):
            self.prints.append(made)
        self._seen[id(tensor)] = (weakref.ref(tensor), version, place)
        return place


def _version(tensor: torch.Tensor) -> int:
    """Counts writes to a tensor; -1 where nobody counts."""
    try:
        return tensor._version
    except RuntimeError:
        return -1


def fingerprint(tensor: torch.Tensor) -> Fingerprint:
    """Returns the fingerprint of a tensor; one without bits of its own has only its form."""
    dtype, shape = str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
    dense = _dense(tensor)
    if dense is None:
        return Fingerprint(dtype, shape, "")
    sketch, odd = _sketch(dense, dtype)
    return Fingerprint(dtype, shape, _digest(dense), sketch, odd)


def text_print(kind: str, text: str) -> Fingerprint:
    """Returns the fingerprint of a plain value of an output."""
    return Fingerprint(kind, (), _text(digest(text.encode("utf-8", "surrogatepass"))))


def _dense(tensor: torch.Tensor) -> torch.Tensor | None:
    import torch

    if tensor.is_nested or tensor.is_meta or type(tensor) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer):
        return None
    plain = tensor.detach()
    if plain.is_quantized:
        plain = plain.dequantize()
    elif plain.layout != torch.strided:
        plain = plain.to_dense()
    return plain.resolve_conj().resolve_neg().contiguous()


def _digest(dense: torch.Tensor) -> str:
    return _text(digest(bytes_of(dense))) if dense.is_cpu else _sums(dense)


def _sums(dense: torch.Tensor) -> str:
    """Two sums over the integers that the bits stand for: fetching all activations would take longer than the run."""
    import torch

    kinds = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    flat = (torch.view_as_real(dense) if dense.is_complex() else dense).reshape(-1)
    whole = flat.view(torch.uint8) if flat.element_size() not in kinds else flat.view(kinds[flat.element_size()])
    numbers = whole.to(torch.int64)
    weights = torch.arange(1, len(numbers) + 1, device=numbers.device)
    return f"+{int(numbers.sum()):x},{int((numbers * weights).sum()):x}"


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode().rstrip("=")


def _sketch(dense: torch.Tensor, dtype: str) -> tuple[str, str]:
    import torch

    if not dense.numel():
        return "", ""
    flat = (torch.view_as_real(dense) if dense.is_complex() else dense).reshape(-1)
    if flat.numel() > SAMPLE:
        flat = flat[_places(flat.numel(), flat.device)]
    sample = flat.to(torch.float64)
    odd = ""
    if not bool((regular := sample.abs() < MOST_FINITE).all()):
        counts = (int(part.sum()) for part in (sample.isnan(), sample >= MOST_FINITE, sample <= -MOST_FINITE))
        odd = ",".join(map(str, counts))
        sample = torch.where(regular, sample, 0.0)
    numbers = (_signs(sample.device)[:, : len(sample)] @ sample).cpu().numpy()
    return base64.b64encode(numbers_of(numbers, sample, dtype)).decode(), odd


def numbers_of(projections: numpy.ndarray[Any, Any], sample: torch.Tensor, dtype: str) -> bytes:
    """Returns norm and projections as bytes, as wide as the dtype needs."""
    import numpy as np

    norm = float(sample.square().sum().sqrt())
    kind = "<f8" if dtype in _WIDE else "<f4"
    return np.concatenate([[norm], projections]).astype(kind).tobytes()


@lru_cache(maxsize=512)
def _places(count: int, device: torch.device) -> torch.Tensor:
    import numpy as np
    import torch

    begin = np.arange(SAMPLE, dtype=np.uint64) * np.uint64(count) // np.uint64(SAMPLE)
    width = np.uint64(max(1, count // SAMPLE))
    return torch.from_numpy((begin + _hashes(SAMPLE) % width).astype(np.int64)).to(device)


@lru_cache(maxsize=8)
def _signs(device: torch.device) -> torch.Tensor:
    """One or minus one for each projection and element, the same on every machine and in every version."""
    import numpy as np
    import torch

    bits = _hashes(SAMPLE)[None, :] >> np.arange(PROJECTIONS, dtype=np.uint64)[:, None] & np.uint64(1)
    return torch.from_numpy(bits.astype(np.float64) * 2 - 1).to(device)


def _hashes(count: int) -> numpy.ndarray[Any, Any]:
    """SplitMix64 of the numbers from 1.

    Source:
        Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    """
    import numpy as np

    with np.errstate(over="ignore"):
        mixed = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    found: numpy.ndarray[Any, Any] = mixed ^ mixed >> np.uint64(31)
    return found
