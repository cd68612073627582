"""Names that mean the same to whoever wrote them: which of some names is which of some others.

Words are compared part by part, so that `self_attn.q_proj` and `attention.query` are held against each other by what is special
to each of them and not by what all of them share.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

SURE = 85
"""Similarity, of 100, from which a name says by itself which one it is."""

MARGIN = 10
"""By how much it must be more similar to one name than to any other."""

MOST_NAMES = 512
"""Names that are held against each other, each against each; modules of one shape beyond that go by numbers."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")

_MEANINGS = (
    "q query queries wq toq qproj", "k key keys wk", "v value values wv", "o out output dense proj wo projection",
    "weight gamma scale g", "bias beta b shift", "mean avg average", "var variance",
    "gate w1", "up w3", "down w2", "norm ln layernorm bn batchnorm gn", "attn attention", "mlp ffn feedforward ff",
    "embed embedding embeddings emb wte", "pos position positions positional wpe", "head classifier fc logits cls",
    "conv convolution", "block blocks layer layers h stage stages", "encoder enc", "decoder dec", "input in", "first 1",
    "second 2", "left l", "right r", "downsample shortcut skip identity",
)  # fmt: skip
_MEANING = {word: number for number, row in enumerate(_MEANINGS) for word in row.split()}


def resembling(found: Sequence[str], expected: Sequence[str]) -> tuple[list[int] | None, bool]:
    """Returns for each name of one side the number of the other side's that it resembles, None where that is not one to one.

    Returns:
        The pairing, and whether every name tells so by itself. One name that resembles none may be what is left over.
    """
    if max(len(found), len(expected)) > MOST_NAMES:
        return None, False
    from rapidfuzz import fuzz, process

    ours, theirs = _told_apart(found), _told_apart(expected)
    own, other_own = _own_words(ours), _own_words(theirs)
    scores = process.cdist(ours, theirs, scorer=fuzz.ratio).tolist()
    means = {text: _meaning(text) for text in {*ours, *theirs, *own.values(), *other_own.values()}}
    for row, mine in zip(scores, ours, strict=True):
        all_of_mine, of_mine = means[mine], means[own[mine]]
        for place, other in enumerate(theirs):
            if (all_of_mine and all_of_mine == means[other]) or (of_mine and of_mine == means[other_own[other]]):
                row[place] = max(row[place], 100.0 if mine and other else 0.0)
    pairs: dict[int, int] = {}
    sure = True
    for number, row in enumerate(scores):
        best = max(range(len(row)), key=row.__getitem__)
        column = [scores[other][best] for other in range(len(scores)) if other != number]
        beaten = [score for place, score in enumerate(row) if place != best]
        if row[best] > 0 and row[best] >= max(beaten, default=0) + MARGIN and row[best] >= max(column, default=0) + MARGIN:
            pairs[number] = best
            sure = sure and row[best] >= SURE
    if len(pairs) == len(found) - 1 and len(set(pairs.values())) == len(pairs):
        (number,), (place,) = set(range(len(found))) - set(pairs), set(range(len(expected))) - set(pairs.values())
        pairs[number] = place
        sure = sure and len(found) > 1
    if len(pairs) != len(found) or len(set(pairs.values())) != len(pairs):
        return None, False
    return [pairs[number] for number in range(len(found))], sure


def _told_apart(names: Sequence[str]) -> list[str]:
    """Returns each name without the words that all of them have."""
    words = [_WORD.findall(name) for name in names]
    shared = set(words[0]).intersection(*words[1:]) if len(words) > 1 else set()
    return [" ".join(word.lower() for word in row if word not in shared) for row in words]


def _own_words(names: Sequence[str]) -> dict[str, str]:
    """Returns for each name the words that no other has, as `attention.key` beside `output.dense` is about `key`."""
    counted = Counter(word for name in names for word in set(name.split()))
    return {name: " ".join(word for word in name.split() if counted[word] == 1) for name in names}


def _meaning(text: str) -> frozenset[int | str]:
    return frozenset(_MEANING.get(word, word) for word in text.split() if not word.isdecimal())
