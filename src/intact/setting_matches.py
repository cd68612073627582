"""What a file says of its model's hyperparameters, held against the live model: pickled modules, and settings by name.

A pickled module is compared with the live one at the same place. A setting (`hyper_parameters.num_heads`, an entry of a
`config.json`) has only a name: it speaks of the model's own attribute or configuration entry of that name, or of that of its
modules where all of them agree. Sizes that shapes show are left to the comparison of shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from intact.core.description import ModuleInfo, Plain

MOST_CHANGES = 1000
"""More than anybody reads; a bound on the work for a file that says much."""

_SIZES_NAMES = """
    in_features out_features num_embeddings embedding_dim hidden_size input_size num_layers in_channels out_channels
    kernel_size num_features normalized_shape bias d_model dim channels width depth vocab_size hidden_dim embed_dim n_embd
    n_layer num_hidden_layers intermediate_size
"""
_SIZES = frozenset(_SIZES_NAMES.split())
"""Names of what the shapes of weights show: where these agree, such a name of a part speaks of another part."""

_RUNNING_NAMES = """
    name path device dtype torch_dtype seed lr learning_rate epochs batch_size use_cache return_dict output_attentions
    output_hidden_states architectures model_type id2label label2id transformers_version version training
    gradient_checkpointing inplace momentum num_workers max_epochs precision verbose debug step global_step epoch iteration
    use_return_dict problem_type finetuning_task
"""
_RUNNING = frozenset(_RUNNING_NAMES.split())
"""Names of what does not change what a model computes."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """One hyperparameter that is another in the file than in the model.

    Attributes:
        where: Where the file says so (`hyper_parameters.num_heads`).
        path: Of the module that has it.
        class_name: Of that module.
        name: Of the attribute.
        then: In the file.
        now: In the model.
    """

    where: str
    path: str
    class_name: str
    name: str
    then: Plain
    now: Plain


Reads = Callable[[str, str], bool]
"""(path of a module, attribute) to whether what that module computes depends on the attribute."""


def of_modules(found: Mapping[str, ModuleInfo], expected: Mapping[str, ModuleInfo]) -> Iterator[Contradiction]:
    """Yields the attributes of pickled modules that the live modules at the same places have with other values.

    Args:
        found: Modules of the file, by path.
        expected: Modules of the model, by path.
    """
    root = _root(found, expected)
    if root is None:
        return
    for path, live in expected.items():
        module = found.get(_below(root, path))
        if module is None or _leaf(module.class_name) != _leaf(live.class_name):
            continue
        for name, then in module.hyperparameters.items():
            now = live.hyperparameters.get(name, _ABSENT)
            if now is not _ABSENT and not _names_the_run(name) and _other(then, now):
                yield Contradiction(_below(root, path) + f".{name}", path, _leaf(live.class_name), name, then, now)


def of_settings(
    settings: Mapping[str, Mapping[str, Plain]], expected: Mapping[str, ModuleInfo], reads: Reads
) -> Iterator[Contradiction]:
    """Yields the settings that name something the model has with another value.

    Args:
        settings: Where they stand, their dotted names, and their values.
        expected: Modules of the model, by path.
        reads: Whether what a module computes depends on an attribute.
    """
    own = _named(expected) if settings else {}
    for source, rows in islice(settings.items(), 64):
        several: dict[str, set[str]] = {}
        for name, value in rows.items():
            several.setdefault(name.rpartition(".")[2], set()).add(repr(value))
        for name, then in rows.items():
            last = name.rpartition(".")[2]
            if len(several[last]) > 1 or _names_the_run(last):
                continue
            held = own.get(last, [])
            if len({repr(row.now) for row in held}) != 1 or not _other(then, held[0].now):
                continue
            if all(row.path for row in held) and last in _SIZES:
                continue
            read = [row for row in held if _is_configuration(row) or reads(row.path, row.name)]
            where = ".".join(part for part in (source, name) if part)
            yield from (Contradiction(where, row.path, row.class_name, row.name, then, row.now) for row in read)


def _is_configuration(row: Contradiction) -> bool:
    """Whether it is an entry of the whole model's configuration, which constructors read and no code that runs later."""
    return not row.path and "." in row.name and "init" not in row.name


def _named(expected: Mapping[str, ModuleInfo]) -> dict[str, list[Contradiction]]:
    """The attributes of a model by their last names: those of the model itself alone, where it has one of that name."""
    found: dict[str, list[Contradiction]] = {}
    for path, module in expected.items():
        for name, now in module.hyperparameters.items():
            last = name.rpartition(".")[2]
            rows = found.setdefault(last, [])
            if not rows or rows[0].path:
                rows.append(Contradiction("", path, _leaf(module.class_name), name, None, now))
    return found


def _root(found: Mapping[str, ModuleInfo], expected: Mapping[str, ModuleInfo]) -> str | None:
    """The module of the file that most modules of the model are found under, with their classes; None where it is none."""
    wanted = {path: _leaf(module.class_name) for path, module in islice(expected.items(), 200)}
    candidates = [path for path in found if _leaf(found[path].class_name) == wanted.get("")][:20]
    score = {
        root: sum(
            (module := found.get(_below(root, path))) is not None and _leaf(module.class_name) == name
            for path, name in wanted.items()
        )
        for root in candidates
    }
    best = max(score, key=lambda root: score[root], default=None)
    return best if best is not None and 2 * score[best] > len(wanted) else None


def _below(root: str, path: str) -> str:
    return f"{root}.{path}" if root and path else root or path


def _leaf(name: str) -> str:
    return name.rpartition(".")[2].rpartition(":")[2]


def _names_the_run(name: str) -> bool:
    last = name.rpartition(".")[2]
    return (
        last in _RUNNING
        or last.startswith("_")
        or "drop" in last.lower()
        or last.endswith(("_token_id", "_path", "_dir", "version"))
    )


_ABSENT: Plain = "\0absent"


def _other(then: Plain, now: Plain) -> bool:
    """Whether two values of one kind differ; a text is compared with a text, and a number with a number."""
    if isinstance(then, bool) != isinstance(now, bool):
        return False
    if isinstance(then, int | float) and isinstance(now, int | float):
        return then != now and not (then != then and now != now)
    if isinstance(then, list | tuple) and isinstance(now, list | tuple):
        return tuple(then) != tuple(now)
    return type(then) is type(now) and then != now
