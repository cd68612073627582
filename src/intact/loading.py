"""Planned values into a live model, all or nothing, and read back.

The model's own `load_state_dict` does the copying, because its hooks may matter; the guarantee is ours. Everything that can be
refused is refused before anything is touched; then the model is kept as it is, loaded, and every value is compared, bit for bit,
with what was planned. Whatever goes wrong in between, an interruption by the user included, the model is put back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from intact.core.description import Description
from intact.core.keys import leaf_of, owner_of
from intact.core.tensor import Placement
from intact.core.wording import shape_text, some
from intact.errors import IntactError, LoadRefused, ReadBackFailed
from intact.model.expectation import EXTRA_STATE, tensor_info
from intact.model.snapshot import Snapshot
from intact.model.state import accepts, memory_of, modules_of, random_state_kept, short, state_of, tensors_of, ties_of

if TYPE_CHECKING:
    import torch

    Owners = dict[int, list[tuple[torch.nn.Module, str]]]


def load_planned(model: torch.nn.Module, values: Mapping[str, torch.Tensor], final: Description) -> None:
    """Puts planned values into a model, all or nothing, and reads them back.

    Args:
        model: On any device; on the meta device it gets memory on the CPU. Training mode and what requires a gradient stay.
        values: Key of the model to tensor on the CPU; views of a mapped file are copied, never kept.
        final: The description that the plan arrives at; `placement` says how each value reaches the model.

    Raises:
        LoadRefused: The values do not fit the model, or its own loading code raised; it is bit for bit as before.
        ReadBackFailed: The model did not hold the planned values afterwards; it was put back.
    """
    state = state_of(model)
    placements = {key: final.tensors[key].placement if key in final.tensors else "copy" for key in values}
    _refuse_unfit(model, state, values, placements)
    with random_state_kept():
        snapshot = Snapshot(model, state)
        try:
            _put(model, state, values, placements)
            _read_back(model, state, values, placements)
        except IntactError:
            snapshot.restore()
            raise
        except Exception as error:
            snapshot.restore()
            raise LoadRefused(
                f"the model's own loading code raises {type(error).__name__}: {short(str(error))}",
                help="nothing was changed; correct `load_state_dict` or the hooks of the model",
            ) from error
        except BaseException:
            snapshot.restore()
            raise
