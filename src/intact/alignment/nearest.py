"""What a key that nothing explains may be, for a person to look at: never a reason to load anything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from intact.core.keys import leaf_of
from intact.core.tensor import TensorInfo

MOST_KEYS = 100
"""Keys for which a candidate is looked for."""
MOST_CANDIDATES = 2000
"""Keys of one shape that are compared by name."""
ALIKE_PERCENT = 45.0
"""How much of the names of two tensors of one shape and last name must agree."""
VERY_ALIKE_PERCENT = 80.0
"""How much of the names of two tensors of different shapes must agree."""


def nearest(missing: Mapping[str, TensorInfo], extra: Mapping[str, TensorInfo]) -> dict[str, str]:
    """Returns for keys of the model that are missing the key of the file that is most like each; none where nothing is.

    Args:
        missing: Of the model, without a counterpart.
        extra: Of the file, without a counterpart.
    """
    from rapidfuzz import fuzz, process

    by_shape: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for key, tensor in extra.items():
        by_shape[tensor.shape].append(key)
    found: dict[str, str] = {}
    for key, tensor in list(missing.items())[:MOST_KEYS]:
        alike = [other for other in by_shape[tensor.shape] if leaf_of(other) == leaf_of(key)] or by_shape[tensor.shape]
        for candidates, least in ((alike, ALIKE_PERCENT), (list(extra), VERY_ALIKE_PERCENT)):
            best = process.extractOne(key, candidates[:MOST_CANDIDATES], scorer=fuzz.ratio, score_cutoff=least)
            if best is not None:
                found[key] = best[0]
                break
    return found
