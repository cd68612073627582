"""A plan in words: what each step does, what needs the user's word, and what stands in the way of loading at all.

A step is read from its plain data, which is all that a plan written as JSON has; a kind that is not known here, from a plugin,
goes by its own name and the number of things it lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from intact.core.finding import Finding
from intact.core.report import Report, Verdict, verdict_of
from intact.core.wording import count, shape_text
from intact.renderers.words import container_text, name

Data = Mapping[str, Any]


def step_text(data: Data) -> str:
    """Returns one step in words, from `Step.to_dict()`."""
    words = _WORDS.get(str(data.get("kind")))
    return words(data) if words else _unknown(data)


def in_the_way(report: Report) -> tuple[str, ...]:
    """Returns the codes of the errors that no step removes, once each: with one of them there is nothing to carry out."""
    return tuple(dict.fromkeys(f.code for f in report.findings if f.severity == "error" and f.step is None))


def not_allowed(report: Report, allow: Iterable[str]) -> tuple[str, ...]:
    """Returns the codes whose steps lose something that the user has not allowed."""
    allowed = set(allow)
    return tuple(code for code in report.plan.lossy_codes if code not in allowed)


def verdict_after(report: Report, allow: Iterable[str]) -> Verdict:
    """Returns the verdict that is left when the losses that the user allows are no longer held against the checkpoint."""
    allowed = set(allow)

    def accepted(finding: Finding) -> bool:
        return finding.code in allowed and finding.step is not None and not finding.step.lossless

    return verdict_of(finding for finding in report.findings if not accepted(finding))


def _key(text: object) -> str:
    return f"`{name(str(text))}`"


def _some(keys: Iterable[object], limit: int = 1) -> str:
    listed = [_key(key) for key in keys]
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {more:,} more" if more > 0 else "")


def _unnest(data: Data) -> str:
    place = f"under {_key(data['at'])}" if data["at"] else "at the top"
    taken = f"take the weights out of the pickled module {place}" if data.get("module") else f"take what stands {place}"
    aside = len(data.get("aside", ()))
    return taken + (f", leaving {count(aside, 'tensor')} beside it in the file" if aside else "")


def _rename(data: Data) -> str:
    pairs = list(data["renames"].items())
    aside = len(data.get("aside", ()))
    others = f"leaving {count(aside, 'tensor')} of something else in the file"
    if not pairs:
        return f"take the keys as they are, {others}"
    old, new = pairs[0]
    renamed = f"rename {_key(old)} to {_key(new)}" + (f", and {len(pairs) - 1:,} more the same way" if len(pairs) > 1 else "")
    return renamed + (f", {others}" if aside else "")


def _transpose(data: Data) -> str:
    return f"turn {count(len(data['keys']), 'matrix', 'matrices')} round: {_some(data['keys'])}"


def _reshape(data: Data) -> str:
    return f"give {count(len(data['shapes']), 'tensor')} another shape over the same elements: {_some(data['shapes'])}"


def _merge(data: Data) -> str:
    return f"put {count(len(data['made']), 'tensor')} together from parts: {_some(data['made'])}"


def _split(data: Data) -> str:
    return f"take {count(len(data['parts']), 'tensor')} apart: {_some(data['parts'])}"


def _tie(data: Data) -> str:
    pairs = list(data["ties"].items())
    key, giver = pairs[0]
    more = f", and {count(len(pairs) - 1, 'such pair')} more" if len(pairs) > 1 else ""
    lost = "" if data["lossless"] else ", dropping its own values"
    return f"let {_key(key)} be the same tensor as {_key(giver)}{lost}{more}"


def _cast(data: Data) -> str:
    dtypes = data["dtypes"]
    wanted = " and ".join(name(str(dtype)) for dtype in dict.fromkeys(dtypes.values()))
    manner = "every value stays the same number" if data["lossless"] else "values change"
    return f"cast {count(len(dtypes), 'tensor')} to {wanted}: {_some(dtypes)}; {manner}"


def _place(data: Data) -> str:
    keys = data["keys"]
    if data["placement"] == "register":
        return f"register {count(len(keys), 'buffer')} that the model makes only when first used: {_some(keys)}"
    return f"put {count(len(keys), 'tensor')} in place of the model's, with the dtype of the file: {_some(keys)}"


def _mask(data: Data) -> str:
    weights = data["weights"]
    return f"multiply {count(len(weights), 'pruned weight')} with what the mask leaves: {_some(weights)}"


def _versions(data: Data) -> str:
    return f"take the tensors for what the classes of {count(len(data['versions']), 'module')} write as they are now"


def _fill(data: Data) -> str:
    return f"add {count(len(data['tensors']), 'tensor')} of {data['value']}: {_some(data['tensors'])}"


def _keep(data: Data) -> str:
    return f"keep the model's own values of {count(len(data['tensors']), 'tensor')}: {_some(data['tensors'])}"


def _resize(data: Data) -> str:
    shapes = data["shapes"]
    key, shape = next(iter(shapes.items()))
    more = f", and {len(shapes) - 1:,} more" if len(shapes) > 1 else ""
    return f"copy what fits of {_key(key)} into {shape_text(shape)}, the rest stays as the model has it{more}"


def _drop(data: Data) -> str:
    keys = data["keys"]
    why = ", which the model has no use for" if data["lossless"] else ""
    return f"leave out {count(len(keys), 'tensor')}: {_some(keys)}{why}"


def _dequantize(data: Data) -> str:
    keys = [row["key"] for row in data["tensors"]]
    return f"multiply the codes of {count(len(keys), 'tensor')} by their scales: {_some(keys)}"


def _merge_adapter(data: Data) -> str:
    keys = [row["weight"] for row in data["adapters"]]
    return f"add what the adapter learned to {count(len(keys), 'weight')}: {_some(keys)}"


def _sequence(data: Data) -> str:
    return "; ".join(step_text(step) for step in data["steps"])


def _rewrite(data: Data) -> str:
    return f"read the {container_text(str(data['container']))} without torch; tensors stay as they are"


def _by_name(data: Data) -> str:
    what = f"give {count(len(data['parameters']), 'parameter')} of {_key(data['optimizer'])} the state that was kept for them"
    dropped = data["dropped"]
    if not dropped:
        return f"{what}, by name" if data["parameters"] else f"take the state of {_key(data['optimizer'])} by name"
    return f"leave out the state of {count(len(dropped), 'parameter')} of {_key(data['optimizer'])}: {_some(dropped)}"


def _in_part(data: Data) -> str:
    return f"in {_key(data['part'])}: {step_text(data['step'])}"


def _unknown(data: Data) -> str:
    things = max((len(value) for value in data.values() if isinstance(value, list | Mapping)), default=0)
    return name(str(data.get("kind"))) + (f": {count(things, 'tensor')}" if things else "")


_WORDS: Mapping[str, Callable[[Data], str]] = {
    "unnest": _unnest,
    "rename": _rename,
    "transpose": _transpose,
    "reshape": _reshape,
    "merge": _merge,
    "split": _split,
    "tie": _tie,
    "cast": _cast,
    "place": _place,
    "fill": _fill,
    "mask": _mask,
    "versions": _versions,
    "keep": _keep,
    "resize": _resize,
    "dequantize": _dequantize,
    "merge-adapter": _merge_adapter,
    "sequence": _sequence,
    "drop": _drop,
    "rewrite": _rewrite,
    "by-name": _by_name,
    "in-part": _in_part,
}
