"""Forty and more classes with constructors of every kind, and an input for each."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import math
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it


class Mode(Enum):
    """How something is combined."""

    SUM = "sum"
    PRODUCT = "product"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Arguments as a dataclass."""

    width: int = 6
    dropout: float = 0.1
    mode: Mode = Mode.SUM


Size = namedtuple("Size", ["inner", "outer"])


class PlainConfig:
    """A configuration without any method."""

    def __init__(self, width: int, depth: int = 2) -> None:
        self.width = width
        self.depth = depth


class DictConfig(dict):  # type: ignore[type-arg]
    """A dict whose entries are attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Mlp(nn.Module):
    """Everything is stored under other names, or only in its children."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int, p: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(n_in, n_hidden)
        self.drop = nn.Dropout(p)
        self.second = nn.Linear(n_hidden, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.drop(F.relu(self.first(x))))  # type: ignore[no-any-return]


class Stack(nn.Module):
    """Depth is only the number of layers."""

    def __init__(self, dim: int, depth: int, ratio: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Mlp(dim, dim * ratio, dim) for _ in range(depth)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x)
        return x


class Star(nn.Module):
    """Widths as positional arguments without end."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.widths = widths
        pairs = itertools.pairwise(widths)
        self.net = nn.Sequential(*[nn.Linear(a, b) for a, b in pairs])

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # type: ignore[no-any-return]


class StarModules(nn.Module):
    """Modules as positional arguments without end."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([branch(x) for branch in self.branches]).sum(0)


class Keywords(nn.Module):
    """Options as keywords without end."""

    def __init__(self, width: int, **options: Any) -> None:
        super().__init__()
        self.options = options
        self.norm = nn.LayerNorm(width, **options)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)  # type: ignore[no-any-return]


class PositionalOnly(nn.Module):
    """Arguments that cannot be named."""

    def __init__(self, width: int, scale: float, /) -> None:
        super().__init__()
        self.fc = nn.Linear(width, width)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) * self.scale  # type: ignore[no-any-return]


class KeywordOnly(nn.Module):
    """Arguments that have to be named."""

    def __init__(self, *, width: int = 6, eps: float = 1e-3) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)  # type: ignore[no-any-return]


class FunctionGiven(nn.Module):
    """A function of torch as an argument."""

    def __init__(self, width: int, act: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__()
        self.fc = nn.Linear(width, width)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.fc(x))


def swish(x: Tensor) -> Tensor:
    """A function of the user's own."""
    return x * x.sigmoid()


class ClassGiven(nn.Module):
    """A class as an argument; only what it made is kept."""

    def __init__(
        self, width: int, act_layer: type[nn.Module] = nn.ReLU, norm_layer: Callable[..., nn.Module] = nn.LayerNorm
    ) -> None:
        super().__init__()
        self.fc = nn.Linear(width, width)
        self.act = act_layer()
        self.norm = norm_layer(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.act(self.fc(x)))  # type: ignore[no-any-return]


class PartialGiven(nn.Module):
    """A partial as an argument, and kept."""

    def __init__(self, width: int, norm: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.norm_factory = norm
        self.norm = norm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)  # type: ignore[no-any-return]


class ModuleGiven(nn.Module):
    """A module as an argument."""

    def __init__(self, fn: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.fn = fn
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.fn(x)  # type: ignore[no-any-return]


class Cloned(nn.Module):
    """A module as an argument of which only copies are kept."""

    def __init__(self, layer: nn.Module, count: int) -> None:
        import copy

        super().__init__()
        self.layers = nn.ModuleList([copy.deepcopy(layer) for _ in range(count)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class WithDtype(nn.Module):
    """A dtype and a device as arguments."""

    def __init__(self, width: int, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> None:
        super().__init__()
        self.dtype = dtype
        self.fc = nn.Linear(width, width, dtype=dtype, device=device)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.to(self.dtype)).float()  # type: ignore[no-any-return]


class Tuples(nn.Module):
    """Tuples and lists that must not be taken for each other."""

    def __init__(self, shape: tuple[int, ...], widths: list[int], size: torch.Size, part: slice, marks: range) -> None:
        super().__init__()
        self.shape, self.widths, self.size, self.part, self.marks = shape, widths, size, part, marks
        self.weight = nn.Parameter(torch.randn(shape))
        self.fcs = nn.ModuleList(nn.Linear(shape[-1], width) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([fc(x * self.weight.sum(0)) for fc in self.fcs], -1)[..., self.part]


class OddNumbers(nn.Module):
    """Infinity, NaN, complex numbers, bytes, paths, large integers."""

    def __init__(self, limit: float, gap: float, turn: complex, salt: bytes, root: Path, seed: int) -> None:
        super().__init__()
        self.limit, self.gap, self.turn, self.salt, self.root, self.seed = limit, gap, turn, salt, root, seed
        self.fc = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).clamp(max=self.limit) * abs(self.turn)  # type: ignore[no-any-return]


class Configured(nn.Module):
    """A dataclass as the only argument."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.fc = nn.Linear(settings.width, settings.width)
        self.drop = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.drop(self.fc(x))
        return x + y if self.settings.mode is Mode.SUM else x * y  # type: ignore[no-any-return]


class AnyConfig(nn.Module):
    """A configuration of whatever class, with a width and a depth."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.net = nn.Sequential(*[nn.Linear(config.width, config.width) for _ in range(config.depth)])

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # type: ignore[no-any-return]


class Sized(nn.Module):
    """A namedtuple as an argument."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.fc = nn.Linear(size.outer, size.inner)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)  # type: ignore[no-any-return]


class OneHead(Mlp):
    """Passes other things to its base than it was given."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__(width, 2 * width, classes, p=0.25)


class Inherited(OneHead):
    """Takes the constructor of its base."""


class PassedOn(nn.Conv1d):
    """Passes everything on to its base."""

    def __init__(self, *args: Any, causal: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.causal = causal


class OwnSequential(nn.Sequential):
    """A container with a constructor of its own."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, classes))


class Optional(nn.Module):
    """Switches that show only in what is there."""

    def __init__(self, width: int, bias: bool = True, gated: bool = False, final_norm: bool = True) -> None:
        super().__init__()
        self.fc = nn.Linear(width, width, bias=bias)
        self.gate = nn.Linear(width, width) if gated else None
        if final_norm:
            self.norm = nn.LayerNorm(width)
        else:
            self.norm = nn.Identity()  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        return self.norm(y * self.gate(x).sigmoid() if self.gate is not None else y)  # type: ignore[no-any-return]


class Chosen(nn.Module):
    """A text that decides which class is used."""

    def __init__(self, width: int, activation: str = "relu") -> None:
        super().__init__()
        self.fc = nn.Linear(width, width)
        self.act = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}[activation]()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.fc(x))  # type: ignore[no-any-return]


class DropPath(nn.Module):
    """A rate for every layer from a schedule, which looks at values."""

    def __init__(self, width: int, depth: int, rate: float) -> None:
        super().__init__()
        rates = [value.item() for value in torch.linspace(0, rate, depth)]
        self.rate = rate
        self.blocks = nn.ModuleList([Mlp(width, width, width, p=one) for one in rates])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Rotary(nn.Module):
    """A base that shows only in a table that is not saved."""

    def __init__(self, dim: int, base: float = 10000.0) -> None:
        super().__init__()
        self.register_buffer("inv_freq", base ** (-torch.arange(0, dim, 2).float() / dim), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.inv_freq, Tensor)
        return x * self.inv_freq.repeat(2).cos()


class Closure(nn.Module):
    """A number that lives only in a function made by the constructor."""

    def __init__(self, width: int, power: int = 2) -> None:
        super().__init__()
        self.fc = nn.Linear(width, width)
        self.act: Callable[[Tensor], Tensor] = lambda x: x**power

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.fc(x))


class Tied(nn.Module):
    """Two keys that are one tensor."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)  # type: ignore[no-any-return]


class TensorGiven(nn.Module):
    """A tensor as an argument that becomes state."""

    def __init__(self, mean: Tensor, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.table = nn.Parameter(table)

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.mean, Tensor)
        return (x - self.mean) @ self.table


class UnstoredSize(nn.Module):
    """Numbers that are only sizes of tensors."""

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, tokens, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.position.mean(1)


class DefaultObject(nn.Module):
    """A default that is an object."""

    def __init__(self, width: int, settings: Settings = Settings(dropout=0.3), act: nn.Module | None = None) -> None:
        super().__init__()
        self.fc = nn.Linear(width, width)
        self.drop = nn.Dropout(settings.dropout)
        self.act = act if act is not None else nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(self.fc(x)))  # type: ignore[no-any-return]


class Namespaced(nn.Module):
    """The arguments of a command line."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__()
        self.args = args
        self.fc = nn.Linear(args.width, args.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)  # type: ignore[no-any-return]


class Hyper(nn.Module):
    """Arguments kept only in a dict of hyperparameters."""

    def __init__(self, width: int, slope: float, names: Sequence[str] = ("a",)) -> None:
        super().__init__()
        self.hparams = {"width": width, "slope": slope, "names": names}
        self.fc = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.fc(x), float(self.hparams["slope"]))  # type: ignore[arg-type]


class Sets(nn.Module):
    """Sets and a dict whose keys are numbers."""

    def __init__(self, skip: set[int], levels: dict[int, str]) -> None:
        super().__init__()
        self.skip, self.levels = skip, levels
        self.fcs = nn.ModuleDict({name: nn.Linear(6, 6) for number, name in levels.items() if number not in skip})

    def forward(self, x: Tensor) -> Tensor:
        for fc in self.fcs.values():
            x = fc(x)
        return x


X = torch.linspace(-1, 1, 12).reshape(2, 6)
SEQUENCE = torch.linspace(-1, 1, 36).reshape(2, 3, 6)
IMAGE = torch.linspace(-1, 1, 144).reshape(1, 3, 6, 8)
Made = tuple[Callable[[], nn.Module], tuple[Any, ...]]

CASES: dict[str, Made] = {
    "linear": (lambda: nn.Linear(6, 3, bias=False), (X,)),
    "convolution": (lambda: nn.Conv2d(3, 4, 3, stride=2, padding=1, padding_mode="reflect"), (IMAGE,)),
    "transposed convolution": (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=1), (IMAGE,)),
    "recurrent": (lambda: nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True), (SEQUENCE,)),
    "gated recurrent": (lambda: nn.GRU(6, 5, bias=False), (SEQUENCE,)),
    "attention": (lambda: nn.MultiheadAttention(6, 3, batch_first=True, add_zero_attn=True), (SEQUENCE, SEQUENCE, SEQUENCE)),
    "encoder layer": (lambda: nn.TransformerEncoderLayer(6, 2, 12, 0.2, "gelu", norm_first=True, batch_first=True), (SEQUENCE,)),
    "encoder": (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 12, batch_first=True), 2), (SEQUENCE,)),
    "transformer": (lambda: nn.Transformer(6, 2, 1, 2, 12, batch_first=True), (SEQUENCE, SEQUENCE)),
    "sequential": (lambda: nn.Sequential(nn.Linear(6, 4), nn.Softplus(beta=2), nn.Sequential(nn.BatchNorm1d(4))), (X,)),
    "named sequential": (lambda: nn.Sequential(OrderedDict(a=nn.Linear(6, 4), b=nn.Hardtanh(-2, 2))), (X,)),
    "shared in sequential": (lambda: nn.Sequential(shared := nn.Linear(6, 6), nn.Tanh(), shared), (X,)),
    "names elsewhere": (lambda: Mlp(6, 9, 4, p=0.2), (X,)),
    "stack": (lambda: Stack(6, depth=3, ratio=2), (X,)),
    "args": (lambda: Star(6, 5, 4, 3), (X,)),
    "args of modules": (lambda: StarModules(nn.Linear(6, 4), Mlp(6, 5, 4)), (X,)),
    "kwargs": (lambda: Keywords(6, eps=1e-2, elementwise_affine=False), (X,)),
    "positional only": (lambda: PositionalOnly(6, 0.5), (X,)),
    "keyword only": (lambda: KeywordOnly(width=6, eps=0.5), (X,)),
    "function of torch": (lambda: FunctionGiven(6, F.gelu), (X,)),
    "own function": (lambda: FunctionGiven(6, swish), (X,)),
    "class": (lambda: ClassGiven(6, nn.GELU, nn.BatchNorm1d), (X,)),
    "partial": (lambda: PartialGiven(6, functools.partial(nn.LayerNorm, eps=0.1)), (X,)),
    "module": (lambda: ModuleGiven(Mlp(6, 5, 6), scale=0.5), (X,)),
    "modules within modules": (lambda: ModuleGiven(ModuleGiven(nn.Sequential(nn.Linear(6, 6), nn.ELU(0.3)), 2.0)), (X,)),
    "cloned": (lambda: Cloned(nn.Linear(6, 6), 3), (X,)),
    "dtype": (lambda: WithDtype(6, torch.float64), (X,)),
    "cast afterwards": (lambda: Mlp(6, 5, 4).double(), (X.double(),)),
    "tuples": (lambda: Tuples((2, 6), [3, 4], torch.Size([2]), slice(0, 5), range(0, 4, 2)), (X,)),
    "odd numbers": (lambda: OddNumbers(math.inf, math.nan, 1 + 2j, b"\0\xff", Path("a") / "b", 2**80), (X,)),
    "dataclass": (lambda: Configured(Settings(6, 0.2, Mode.PRODUCT)), (X,)),
    "plain configuration": (lambda: AnyConfig(PlainConfig(6, 3)), (X,)),
    "simple namespace": (lambda: AnyConfig(SimpleNamespace(width=6, depth=1)), (X,)),
    "dict with attributes": (lambda: AnyConfig(DictConfig(width=6, depth=2)), (X,)),
    "namedtuple": (lambda: Sized(Size(3, 6)), (X,)),
    "base called otherwise": (lambda: OneHead(6, 4), (X,)),
    "inherited": (lambda: Inherited(6, 4), (X,)),
    "passed on": (lambda: PassedOn(3, 4, kernel_size=3, groups=1, dilation=2, causal=True), (SEQUENCE.repeat(1, 1, 2),)),
    "own sequential": (lambda: OwnSequential(6, 4), (X,)),
    "switches": (lambda: Optional(6, bias=False, gated=True, final_norm=False), (X,)),
    "chosen by text": (lambda: Chosen(6, "tanh"), (X,)),
    "schedule": (lambda: DropPath(6, 3, 0.3), (X,)),
    "table": (lambda: Rotary(6), (X,)),
    "closure": (lambda: Closure(6), (X,)),
    "tied": (lambda: Tied(9, 6), (X,)),
    "tensor": (lambda: TensorGiven(torch.arange(6.0), torch.randn(6, 300)), (X,)),
    "sizes": (lambda: UnstoredSize(4, 6), (X,)),
    "default object": (lambda: DefaultObject(6), (X,)),
    "argparse": (lambda: Namespaced(argparse.Namespace(width=6, lr=0.1)), (X,)),
    "hparams": (lambda: Hyper(6, 0.3, ("a", "b")), (X,)),
    "sets": (lambda: Sets({1}, {1: "one", 2: "two"}), (X,)),
}
"""Constructor and input by what is odd about it."""
