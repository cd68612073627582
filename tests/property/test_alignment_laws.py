"""Random module trees under random changes of their names: every value comes back, or the report says that it is open.

    INTACT_EXAMPLES=10000 python -m pytest -o timeout=0 tests/property/test_alignment_laws.py

Modules are put together from a few layers and words, so that equal shapes and misleading names are common. A wrong value that is
loaded as repaired would be the worst that this package can do.
"""

from __future__ import annotations

import os
import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st
from torch import nn

import intact

EXAMPLES = int(os.environ.get("INTACT_EXAMPLES", "80"))
WORDS = [
    "attn",
    "mlp",
    "norm",
    "proj",
    "fc1",
    "fc2",
    "query",
    "key",
    "value",
    "out",
    "embed",
    "head",
    "down",
    "up",
    "gate",
    "conv",
]
SYNONYMS = {
    "attn": "attention",
    "mlp": "feed_forward",
    "query": "q_proj",
    "key": "k_proj",
    "value": "v_proj",
    "norm": "layer_norm",
}
State = dict[str, torch.Tensor]
ROWS = 7


def leaf(rng: random.Random) -> nn.Module:
    """A layer of one of a few sizes, so that many are alike."""
    size, other = rng.choice([4, 6]), rng.choice([4, 6, 8])
    kinds: list[Callable[[], nn.Module]] = [
        lambda: nn.Linear(size, other),
        lambda: nn.Linear(size, other, bias=False),
        lambda: nn.LayerNorm(size),
        lambda: nn.BatchNorm1d(size),
        lambda: nn.Embedding(ROWS, size),
        lambda: nn.Conv1d(size, other, 3),
    ]
    return rng.choice(kinds)()


def attention(rng: random.Random) -> nn.Module:
    """Projections of which others make one: three, or one of three times the size."""
    size, module = rng.choice([4, 6]), nn.Module()
    bias = rng.random() < 0.5
    if rng.random() < 0.6:
        fewer = rng.choice([size, 2])
        for name, width in (("query", size), ("key", fewer), ("value", fewer)):
            module.add_module(name, nn.Linear(size, width, bias=bias))
    else:
        module.add_module("qkv", nn.Linear(size, 3 * size, bias=bias))
    module.add_module("out", nn.Linear(size, size))
    return module


def gated(rng: random.Random) -> nn.Module:
    """A gate and what it lets through, which others keep in one matrix."""
    size, module = rng.choice([4, 6]), nn.Module()
    for name in ("gate", "up"):
        module.add_module(name, nn.Linear(size, 8, bias=False))
    module.add_module("down", nn.Linear(8, size, bias=False))
    return module


def tree(rng: random.Random, depth: int = 0) -> nn.Module:
    """A module with named children, some of them lists of equal ones."""
    module = nn.Module()
    for word in rng.sample(WORDS, rng.randint(1, 4)):
        kind = rng.random()
        if depth < 2 and kind < 0.3:
            module.add_module(word, tree(rng, depth + 1))
        elif depth < 2 and kind < 0.5:
            seed = rng.random()
            module.add_module(word, nn.ModuleList(tree(random.Random(seed), depth + 1) for _ in range(rng.randint(2, 4))))
        elif kind < 0.65:
            module.add_module(word, rng.choice([attention, gated])(rng))
        else:
            module.add_module(word, leaf(rng))
    return module


def filled(module: nn.Module, seed: int) -> nn.Module:
    """Gives every tensor values that no other has."""
    generator = torch.Generator().manual_seed(seed)
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator))
    return module


def prefixed(rng: random.Random, state: State) -> State:
    """A wrapper's name in front of every key."""
    prefix = rng.choice(["module.", "model.", "_orig_mod.", "net.encoder."])
    return {prefix + key: value for key, value in state.items()}


def renamed(rng: random.Random, state: State) -> State:
    """A word is another word everywhere."""
    words = sorted({part for key in state for part in key.split(".")[:-1] if part.isidentifier()})
    if not words:
        return state
    old = rng.choice(words)
    new = rng.choice([SYNONYMS.get(old, "block"), "part", f"{old}_layer"])
    made: State = {}
    for key, value in state.items():
        *path, last = key.split(".")
        made[".".join([*(new if part == old else part for part in path), last])] = value
    return made if len(made) == len(state) else state


def shifted(rng: random.Random, state: State) -> State:
    """Numbers are written into the name, or begin at one."""
    first, form = rng.choice([(1, "{}"), (0, "layer{}"), (0, "{}.block")])
    return {re.sub(r"(?<=\.)(\d+)(?=\.)", lambda m: form.format(int(m[1]) + first), key): value for key, value in state.items()}


def shuffled(rng: random.Random, state: State) -> State:
    """Another order, as sorted files have it."""
    keys = list(state)
    rng.shuffle(keys)
    return {key: state[key] for key in keys}


def merged(_rng: random.Random, state: State) -> State:
    """Projections side by side are one."""
    made = dict(state)
    for parts, whole in ((("query", "key", "value"), "qkv"), (("gate", "up"), "gate_up")):
        for key in state:
            place, _, rest = key.rpartition(f"{parts[0]}.")
            keys = [f"{place}{part}.{rest}" for part in parts]
            if not rest or "." in rest or any(k not in made or made[k].dim() == 0 for k in keys):
                continue
            values = [made[k] for k in keys]
            if len({v.shape[1:] for v in values}) == 1 and values[0].dim() in (1, 2):
                position = list(made)
                made = {
                    (f"{place}{whole}.{rest}" if k == keys[0] else k): (torch.cat(values) if k == keys[0] else made[k])
                    for k in position
                    if k == keys[0] or k not in keys
                }
    return made


def split(_rng: random.Random, state: State) -> State:
    """One projection is three."""
    made: State = {}
    for key, value in state.items():
        place, _, rest = key.rpartition("qkv.")
        if rest and "." not in rest:
            made |= {f"{place}{part}.{rest}": v for part, v in zip(("query", "key", "value"), value.chunk(3), strict=True)}
        else:
            made[key] = value
    return made


def turned(_rng: random.Random, state: State) -> State:
    """Every matrix of a linear layer is stored as [in, out], where one at least shows it; tables of embeddings stay."""
    matrices = {key for key, value in state.items() if value.dim() == 2 and len(value) != ROWS}
    if not any(state[key].shape[0] != state[key].shape[1] for key in matrices):
        return state
    return {key: value.t().contiguous() if key in matrices else value for key, value in state.items()}


def stacked(_rng: random.Random, state: State) -> State:
    """The layers of a list are one tensor with a dimension more."""
    lists: dict[tuple[str, str], list[str]] = {}
    for key in state:
        path = key.split(".")
        numbers = [n for n, part in enumerate(path) if part.isdigit()]
        if len(numbers) == 1:
            at = numbers[0]
            lists.setdefault((".".join(path[:at]), ".".join(path[at + 1 :])), []).append(key)
    made = dict(state)
    for (place, rest), keys in lists.items():
        if len(keys) > 1 and len({state[k].shape for k in keys}) == 1 and state[keys[0]].dim():
            first = keys[0]
            one = torch.stack([state[k] for k in sorted(keys, key=lambda k: int(k[len(place) + 1 :].split(".")[0]))])
            made = {
                (f"{place}.{rest}" if k == first else k): (one if k == first else v) for k, v in made.items() if k not in keys[1:]
            }
    return made


CHANGES: list[Callable[[random.Random, State], State]] = [prefixed, renamed, shifted, shuffled]
LAYOUTS = [
    [merged],
    [split],
    [turned],
    [stacked],
    [merged, turned],
    [split, turned],
    [merged, stacked],
    [split, stacked],
    [turned, stacked],
]


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.sampled_from(range(len(CHANGES))), max_size=4), st.booleans())
def test_every_value_comes_back_or_the_report_says_that_it_is_open(seed: int, changes: list[int], nested: bool) -> None:
    """Whatever code renamed the modules."""
    check_law(seed, [CHANGES[number] for number in changes], nested=nested)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(range(len(LAYOUTS))),
    st.lists(st.sampled_from(range(len(CHANGES))), max_size=2),
)
def test_layouts_are_undone_or_the_report_says_that_it_is_open(seed: int, layout: int, changes: list[int]) -> None:
    """Whatever code merged, split, stacked or turned round what it saved, under names of its own."""
    check_law(seed, LAYOUTS[layout] + [CHANGES[number] for number in changes], nested=False)


def check_law(seed: int, changes: list[Callable[[random.Random, State], State]], *, nested: bool) -> None:
    """A model under changes is loaded with its own values, or stays as it was and the report says why."""
    rng = random.Random(seed)
    shape = rng.random()

    def build() -> nn.Module:
        return tree(random.Random(shape))

    original = filled(build(), 1)
    wanted = {key: value.clone() for key, value in original.state_dict().items()}
    state = dict(wanted)
    for change in changes:
        state = change(rng, state)
    content: object = {"epoch": 1, "state_dict": state} if nested else state
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pth"
        torch.save(content, path)
        model = filled(build(), 2)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        refused: intact.LoadRefused | None = None
        try:
            intact.load_into(model, path)
        except intact.LoadRefused as error:
            refused = error
    event("refused" if refused else "loaded")
    if refused is not None:
        assert refused.report is not None
        assert refused.report.verdict in ("lossy", "incompatible")
    held = before if refused else wanted
    wrong = [key for key, value in model.state_dict().items() if not torch.equal(value, held[key])]
    assert wrong == [], f"loaded as repaired with other values, or changed although refused: {wrong[:3]}"
