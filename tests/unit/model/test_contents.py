"""What a save takes from a model: the bytes of every tensor, and a refusal of what has no form, before anything is written."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import intact
from intact.model.contents import bytes_of, contents_of, piece_of


def raw(tensor: torch.Tensor) -> bytes:
    """The bytes of a tensor in C order."""
    return tensor.detach().clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8).numpy().tobytes()


DTYPES = [
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.bool,
    torch.uint16,
    torch.complex64,
    torch.float8_e4m3fn,
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("view", ["whole", "transposed", "part", "scalar", "empty"])
def test_a_piece_holds_the_bytes_of_its_tensor(view: str, dtype: torch.dtype) -> None:
    """Wherever they lie in memory."""
    whole = (torch.arange(4 * 6) % 2).to(dtype).reshape(4, 6)
    tensor = {
        "whole": whole,
        "transposed": whole.t(),
        "part": whole[1:3, ::2],
        "scalar": whole[1, 1],
        "empty": whole[:0],
    }[view]
    piece = piece_of(tensor)
    assert bytes(piece.content()) == raw(tensor)
    assert piece.size_bytes == tensor.numel() * tensor.element_size()
    assert (piece.address != 0) == (tensor.is_contiguous() and tensor.numel() > 0)
    assert bytes(bytes_of(tensor)) == raw(tensor)


def test_a_tied_tensor_is_held_once_under_its_first_key() -> None:
    """Tied means the same view of the same memory, and a view of a part of it is another tensor."""
    shared = torch.randn(4, 4)
    contents = contents_of(OrderedDict(a=torch.ones(1), b=shared, c=shared.view(4, 4), d=shared[:2], e=shared.t()))
    assert contents.ties == (("b", "c"),)
    assert list(contents.tensors) == ["a", "b", "d", "e"]
    assert contents.keys == ("a", "b", "c", "d", "e")


def test_a_state_dict_with_keys_that_are_no_text_is_refused(tmp_path: Path) -> None:
    """The key 1 would come back as "1", or take the place of the tensor of that name without a word."""
    for state in ({1: torch.ones(1), "1": torch.zeros(1)}, {None: torch.ones(1)}, {"a\ud800": torch.ones(1)}, {b"a": 1}):
        with pytest.raises(intact.IntactError, match="that is no text"):
            intact.save(state, tmp_path / "m.safetensors")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


NO_FORM: dict[str, tuple[Any, str]] = {
    "sparse": (torch.eye(3).to_sparse(), "sparse_coo layout"),
    "meta": (torch.empty(3, device="meta"), "no values yet"),
    "lazy": (nn.LazyLinear(3).weight, "no values yet"),
    "complex128": (torch.zeros(1, dtype=torch.complex128), "dtype complex128"),
    "an object": (object(), "builtins.object"),
    "a module": (nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
    "a weight within an entry": ({"large": torch.zeros(1 << 20)}, "are the limit within an entry"),
    "a sparse tensor within an entry": ([torch.eye(3).to_sparse()], "torch.Tensor"),
}


@pytest.mark.parametrize("name", NO_FORM)
def test_what_has_no_form_is_refused_by_name_and_leaves_the_old_checkpoint(name: str, tmp_path: Path) -> None:
    """It is said while the model is still there, and not when somebody wants it back."""
    value, why = NO_FORM[name]
    intact.save({"old": torch.ones(1)}, tmp_path / "m.safetensors")
    with pytest.raises(intact.IntactError, match=why) as caught:
        intact.save({"fine": torch.ones(1), "it": value}, tmp_path / "m.safetensors")
    assert "`it" in caught.value.message
    assert list(intact.read(tmp_path / "m.safetensors")) == ["old"]


def test_saving_changes_nothing_of_the_model(tmp_path: Path) -> None:
    """Not its mode, not its values, not the generator of random numbers."""
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(), nn.Linear(3, 3)).train()
    model[0].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes, random = [module.training for module in model.modules()], torch.get_rng_state()
    intact.save(model, tmp_path / "m.safetensors")
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
