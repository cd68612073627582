"""What stands on a live model beside its state dict, or in it without being worth saving: one record for each such thing.

The records hold no tensors and no torch. `take_inventory` of `model/survival/` fills them; the rules of an audit read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from intact.core.tensor import TensorInfo

Kind = Literal[
    "module",
    "tensor",
    "array",
    "numbers",
    "buffer",
    "late",
    "lazy",
    "meta",
    "placeholder",
    "nan",
    "dropped",
    "ignored",
    "parametrization",
    "untied",
    "overlap",
    "flag",
]
"""What was found.

- module: a module that no other module registers, with the tensors it holds;
- tensor, array, numbers: a tensor, a numpy array or a list of numbers that is a plain attribute, or stands in one;
- buffer: a buffer that is not persistent; late: one that a fresh model registers only when first used;
- lazy, meta, placeholder, nan: a registered tensor that has no value to save, or no number in it;
- dropped: a key that the model's own `state_dict` leaves out; ignored: one that its own loading code does not take;
- parametrization: a tensor that a fresh model would not have in parts;
- untied: two tensors that a fresh model has as one; overlap: two that share some of their memory;
- flag: a plain attribute that makes `forward` write state when it first runs.
"""

Grade = Literal["lost", "doubtful", "noted"]
"""How sure it is that something is lost: the evidence says so, it only points there, or it is worth a word and no more."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a save would lose, double or make wrong.

    Attributes:
        kind: What it is.
        path: Attributes that lead to it from the root (`layers.0.indices`, `convs[0]`).
        class_name: Class of the thing, without its module.
        owner_class: Class of the module that has it, without its module.
        tensors: The tensors that are concerned, each under the path that leads to it.
        grade: How sure the loss is.
        evidence: What it is judged by, as one clause.
        name: The attribute of the owner that leads to it (`indices`, `convs`).
        partner: The other tensor of a pair; "" where there is no pair.
    """

    kind: Kind
    path: str
    class_name: str = ""
    owner_class: str = ""
    tensors: tuple[TensorInfo, ...] = ()
    grade: Grade = "lost"
    evidence: str = ""
    name: str = ""
    partner: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """Paths of its tensors, or its own where it has none."""
        return tuple(tensor.key for tensor in self.tensors) or (self.path,)

    @property
    def size_bytes(self) -> int:
        """Bytes of its tensors."""
        return sum(tensor.size_bytes for tensor in self.tensors)


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that was found on one model.

    Attributes:
        items: In the order in which the modules stand.
        registered: How many parameters there are that a module registers.
    """

    items: tuple[Item, ...] = ()
    registered: int = 0

    def of(self, *kinds: Kind, grade: Grade | None = None) -> tuple[Item, ...]:
        """Returns the items of some kinds, and of one grade where one is given."""
        return tuple(item for item in self.items if item.kind in kinds and grade in (None, item.grade))
