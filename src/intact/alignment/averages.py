"""Averages of the weights that stand in a state dict under flattened names.

A buffer's name may have no dots, so that code that keeps averages as buffers of the model writes each weight's name without them
(`model_ema.diffusion_modelout0weight`) or with underscores (`ema_backbone_conv1_weight`), behind a name that says what they are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from intact.alignment.places import says_averaged
from intact.core.description import Description

SAMPLE = 64
"""From how many names it is learned what stands in front of the flattened names."""

DEEPEST = 12
"""Names in front of the flattened one, at most."""

SEPARATORS = ("", "_")
"""What is written for the dots."""


@dataclass(frozen=True, slots=True)
class Averages:
    """One set of averaged weights.

    Attributes:
        front: What their keys start with (`model_ema`, `ema`).
        pairs: Key in the file, and key of the model's tensor that it is the average of.
        beside: Further keys with that front: its counters.
    """

    front: str
    pairs: tuple[tuple[str, str], ...]
    beside: tuple[str, ...]


def find_averages(found: Description, expected: Description) -> list[Averages]:
    """Returns the sets of averages whose every tensor is one of the model's under a flattened name, in the order of the file.

    Args:
        found: What the container holds, without nesting.
        expected: What the model wants.
    """
    fronts: dict[str, list[str]] = defaultdict(list)
    for key in found.tensors:
        if key not in expected.tensors:
            for front in _fronts(key):
                fronts[front].append(key)
    result: list[Averages] = []
    used: set[str] = set()
    flat = {sign: {key.replace(".", sign): key for key in expected.tensors} for sign in SEPARATORS} if fronts else {}
    for front, keys in fronts.items():
        held = [key for key in keys if found.tensors[key].shape]
        pairs = _pairs(front, held, found, expected, flat)
        if held and len(pairs) == len(held) and not used.issuperset(held):
            used.update(held)
            counters = tuple(key for key in keys if not found.tensors[key].shape and key not in dict(pairs))
            result.append(Averages(front, pairs, counters))
    return result


def _fronts(key: str) -> Iterator[str]:
    """What a key may start with that says that it is an average; the shortest first."""
    places = (place for place, sign in enumerate(key) if sign in "._" and place)
    for place in islice(places, DEEPEST):
        if says_averaged(key[:place]):
            yield key[:place]
            return


def _pairs(
    front: str, keys: list[str], found: Description, expected: Description, flats: Mapping[str, Mapping[str, str]]
) -> tuple[tuple[str, str], ...]:
    """Keys and what they are averages of, where one way of writing names accounts for all of them."""
    for separator, flat in flats.items():
        rest = {key: key[len(front) + 1 :].replace(".", separator) for key in keys}
        votes: Counter[str] = Counter()
        for text in list(rest.values())[:SAMPLE]:
            votes.update(text[:cut] for cut in range(len(text)) if text[cut:] in flat)
        for ahead, _ in votes.most_common(1):
            pairs = tuple((key, flat[text[len(ahead) :]]) for key, text in rest.items() if text[len(ahead) :] in flat)
            fits = all(found.tensors[key].shape == expected.tensors[raw].shape for key, raw in pairs)
            if len(pairs) == len(keys) and fits and len({raw for _, raw in pairs}) == len(pairs):
                return pairs
    return ()
