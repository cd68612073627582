"""What differs between a live model and the sealed one, and whether its code reads it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from intact.core.architecture import Architecture
from intact.core.manifest import Absent
from intact.model.contents import absent_of
from intact.model.making.architecture import capture
from intact.model.replay.changes import attribute_changes, buffer_changes, inner_architecture, is_used, source_changes
from intact.model.replay.probe_tables import tables_of
from intact.model.replay.probing import absent_prints


class Reader(nn.Module):
    """A class that reads some attributes when it runs, and writes others."""

    table: torch.Tensor

    def __init__(self, scale: float = 1.0, note: str = "a") -> None:
        super().__init__()
        self.linear, self.scale, self.note, self.count, self.ratio = nn.Linear(2, 2), scale, note, 0, scale
        self.register_buffer("table", torch.arange(4.0) * scale, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return self._scaled(self.linear(x))

    def _scaled(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale + self.count

    def describe(self) -> str:
        return f"{self.note} {self.ratio}"


@pytest.mark.parametrize(
    ("cls", "name", "used"),
    [
        (Reader, "scale", True),
        (Reader, "note", False),
        (Reader, "ratio", False),
        (Reader, "count", False),
        (nn.LayerNorm, "eps", True),
        (nn.MaxPool2d, "ceil_mode", True),
        (nn.ReLU, "inplace", False),
        (nn.Dropout, "p", False),
        (nn.BatchNorm2d, "momentum", False),
    ],
)
def test_an_attribute_matters_where_the_code_of_forward_reads_it(cls: type, name: str, used: bool) -> None:
    """A counter, a note and the rate of a dropout change no output of a model in eval mode."""
    assert is_used(cls, name) is used


def test_changed_attributes_and_classes_are_found() -> None:
    """Shapes are equal, and nothing else would tell."""
    architecture = capture(nn.Sequential(Reader(), nn.GELU())).architecture
    changes = attribute_changes(architecture, nn.Sequential(Reader(2.0, "b"), nn.SiLU()))
    assert {(row.path, row.name, row.used) for row in changes} == {
        ("0", "scale", True),
        ("0", "ratio", False),
        ("0", "note", False),
        ("1", "class", True),
    }
    assert attribute_changes(architecture, nn.Sequential(Reader(), nn.GELU())) == ()


def test_a_vocabulary_in_another_order_is_found() -> None:
    """The words are the same, and mean something else."""
    one, other = Reader(), Reader()
    one.vocab, other.vocab = {"a": 0, "b": 1}, {"b": 0, "a": 1}  # type: ignore[assignment]
    (found,) = attribute_changes(capture(one).architecture, other, tables_of(one))
    assert (found.name, found.then, found.now) == ("vocab", "dict of 2: 'a': 0, 'b': 1", "dict of 2: 'b': 0, 'a': 1")


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_record_of_a_wrapper_gives_that_of_the_module_inside(wrapped: bool) -> None:
    """Paths begin with `module.` there, and here they do not."""
    model: nn.Module = nn.Sequential(Reader(), nn.GELU())
    architecture = inner_architecture(capture(nn.DataParallel(model) if wrapped else model).architecture)
    assert [path for path, _, _ in architecture.modules] == ["", "0", "0.linear", "1"]
    assert architecture.class_name.endswith(":Sequential")
    assert attribute_changes(architecture, model) == ()


def test_tables_outside_of_the_state_dict_are_compared_beyond_rounding() -> None:
    """The same formula gives other last bits on another device."""
    one, near, far = Reader(), Reader(), Reader(2.0)
    near.table.add_(1e-7)
    recorded, prints = {row.key: row for row in absent_of(one)}, absent_prints(one)
    assert buffer_changes(recorded, prints, one) == ()
    assert buffer_changes(recorded, prints, near) == ()
    assert buffer_changes(recorded, {}, near) == ("table",)
    assert buffer_changes(recorded, prints, far) == ("table",)
    assert buffer_changes({"table": Absent("table", "float32", (9,), "0" * 32)}, {}, far) == ()


def test_the_lines_of_a_source_that_changed_are_shown() -> None:
    """Where the text went into the file."""
    architecture = capture(Reader(), include_source=True).architecture
    name = architecture.class_name
    older = architecture.sources[name].replace("x * self.scale", "x / self.scale")
    record = Architecture.from_json(architecture.to_json().replace(architecture.classes[0].digest, "sha256:0"))
    assert source_changes(architecture, Reader()) == ()
    (found,) = source_changes(Architecture(name, classes=record.classes, sources={name: older}), Reader())
    assert found.class_name == name
    assert found.lines[1:] == ("-        return x / self.scale + self.count", "+        return x * self.scale + self.count")
