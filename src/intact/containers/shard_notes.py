"""Where an index and its shards disagree, and what shows that the files of a set come from different saves.

Pure judgement on names and descriptions: nothing here opens a file. What leaves every key readable is a note; a key that nobody
holds is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from intact.containers.shard_index import Index
from intact.containers.shown import listed, shown, shown_list
from intact.core.description import Description
from intact.core.manifest import Manifest
from intact.core.remark import Remark
from intact.core.wording import count
from intact.errors import Damaged, IntactError

_MOMENTS = re.compile(r"(^|_)(step|steps|epoch|iteration|iter|revision|commit|run_id|run|checkpoint_id|save_id)$")
"""Names of metadata whose value is one and the same in every file of one save."""

_METADATA = "__metadata__."


def refuse_keys_nowhere(index: Index, held: Mapping[str, Sequence[str]], other_entries: frozenset[str]) -> None:
    """Raises where the index lists keys that no shard holds.

    Args:
        index: What should be where.
        held: Key to the shards that hold a tensor of that key.
        other_entries: Entries of the shards that are no tensors.

    Raises:
        Damaged: There are such keys (`file/index-mismatch`).
    """
    nowhere = [key for key in index.home if key not in held and key not in other_entries]
    if not nowhere:
        return
    shards = list(dict.fromkeys(index.home[key] for key in nowhere))
    raise Damaged(
        f"the index lists {count(len(nowhere), 'key')} that no shard holds: {listed(nowhere)}; they belong in {listed(shards)}",
        code="file/index-mismatch",
        path=str(index.path),
        evidence={"keys": shown_list(nowhere), "key_count": len(nowhere), "shards": shown_list(shards)},
        help="fetch index and shards again from one place, so that they belong to one save",
    )


def refuse_other_saves(index: Index, manifests: Mapping[str, Manifest | None]) -> None:
    """Raises where the files of a sealed set are not all of one save.

    Args:
        index: Of the set.
        manifests: What each shard records; None for one that is not sealed.

    Raises:
        Damaged: They are not (`file/mixed-shards`).
    """
    saves = {name: manifest.save if manifest else "" for name, manifest in manifests.items()}
    own = index.manifest.save if index.manifest else next((save for save in saves.values() if save), "")
    others = [name for name, save in saves.items() if save != own]
    if not own or not others or (index.manifest is None and all(not saves[name] for name in others)):
        return
    raise Damaged(
        f"{count(len(others), 'shard')} of {len(saves)} {'is' if len(others) == 1 else 'are'} of another save than the set: "
        f"{listed(others)}",
        code="file/mixed-shards",
        path=str(index.path),
        evidence={"save": own, "shards": {shown(name): saves[name] for name in others[:50]}},
        help="fetch or copy all files of one save; these were mixed while the checkpoint changed",
    )


def refuse_other_keys(index: Index, held: Mapping[str, Sequence[str]]) -> None:
    """Raises where the shards of a sealed set hold other keys than those that were sealed.

    Args:
        index: Of the set.
        held: Key to the shards that hold a tensor of that key.

    Raises:
        Damaged: They do (`file/index-mismatch`).
    """
    if index.manifest is None:
        return
    others = [*(key for key in held if key not in index.home), *(key for key in index.home if key not in held)]
    if others:
        raise Damaged(
            f"the shards hold other keys than were sealed as a set: {listed(others)}",
            code="file/index-mismatch",
            path=str(index.path),
            evidence={"keys": shown_list(others), "key_count": len(others)},
            help="fetch or copy all files of one save",
        )


def sealed_apart(index: Index, manifests: Mapping[str, Manifest | None]) -> Iterator[IntactError]:
    """Yields the note on shards that were sealed as a set, under an index that is not the one of that set."""
    parts = [name for name, manifest in manifests.items() if manifest is not None and manifest.shard is not None]
    if parts and index.manifest is None and not index.notes:
        yield _note(
            index,
            "file/checksum-mismatch",
            f"the index is not the one that was sealed with {listed(parts)}: nothing tells whether the set is complete",
            {"part": "index", "shards": shown_list(parts)},
            "fetch or copy the index again; if the set is what you want, write it anew with intact.save",
        )


def other_sharding(absent: Sequence[str], keys: Sequence[str], instead: Sequence[str]) -> Remark:
    """Returns what is said of an index of which some shards are absent while other files hold their keys."""
    return Remark(
        "file/index-mismatch",
        f"the index names {listed(absent)}, not there; the {count(len(keys), 'key')} of {'it' if len(absent) == 1 else 'them'} "
        f"stand in {listed(instead)}",
        "error",
        evidence={"absent": shown_list(absent), "instead": shown_list(instead), "keys": shown_list(keys), "key_count": len(keys)},
        cause="the index belongs to another sharding; programs that follow it find nothing",
        help="intact reads the shards that are there; fetch the right index, or write the set again",
        opened=True,
    )


def misplaced_keys(index: Index, held: Mapping[str, Sequence[str]]) -> Iterator[IntactError]:
    """Yields the note on keys that stand in another shard than the index says."""
    moved = [key for key, names in held.items() if key in index.home and index.home[key] not in names]
    if moved:
        key = moved[0]
        yield _note(
            index,
            "file/index-mismatch",
            f"{count(len(moved), 'key')} stand{'s' if len(moved) == 1 else ''} in another shard than the index says: "
            f"`{shown(key)}` in {listed(held[key])}, not in `{shown(index.home[key])}`",
            {"keys": shown_list(moved), "key_count": len(moved)},
            "all of them were found and nothing is missing; write the set again so that the index agrees",
        )


def unlisted_keys(index: Index, held: Mapping[str, Sequence[str]]) -> Iterator[IntactError]:
    """Yields the note on keys of the shards that the index does not list."""
    unlisted = [key for key in held if key not in index.home]
    if unlisted:
        yield _note(
            index,
            "file/index-mismatch",
            f"the index does not list {count(len(unlisted), 'key')} of the shards: {listed(unlisted)}",
            {"keys": shown_list(unlisted), "key_count": len(unlisted)},
            "readers that follow the index do not see them; write the set again so that the index agrees",
        )


def different_moments(index: Index, descriptions: Mapping[str, Description]) -> Iterator[IntactError]:
    """Yields a note for each fact (a step, an epoch, a commit) that the metadata of the files tell differently."""
    told: dict[str, dict[str, list[str]]] = {}
    for file, facts in _facts(index, descriptions):
        for fact, value in facts:
            if _MOMENTS.search(fact.lower()):
                told.setdefault(fact, {}).setdefault(value, []).append(file)
    for fact, values in told.items():
        if len(values) > 1:
            sides = "; ".join(f"{shown(value)} in {listed(files)}" for value, files in list(values.items())[:3])
            yield _note(
                index,
                "file/mixed-shards",
                f"the files come from different saves: `{shown(fact)}` is {sides}",
                {"fact": shown(fact), "values": {shown(value): shown_list(files) for value, files in list(values.items())[:50]}},
                "fetch or copy all files of one save; these were mixed while the checkpoint changed",
            )


def _facts(index: Index, descriptions: Mapping[str, Description]) -> Iterator[tuple[str, Iterable[tuple[str, str]]]]:
    yield index.path.name, index.metadata.items()
    for name, description in descriptions.items():
        yield (
            name,
            [(extra.path[len(_METADATA) :], extra.text) for extra in description.extras if extra.path.startswith(_METADATA)],
        )


def held_again(index: Index, name: str, keys: Sequence[str]) -> IntactError:
    """Returns the note on a file beside the set that is named like a shard and holds keys of the set again."""
    return _note(
        index,
        "file/mixed-shards",
        f"`{shown(name)}` is not in the index and holds {count(len(keys), 'key')} of the set again: {listed(keys)}",
        {"file": shown(name), "keys": shown_list(keys), "key_count": len(keys)},
        f"the set is read by its index; remove {shown(name)} if an earlier save left it",
    )


def of_shard(name: str, notes: Iterable[IntactError]) -> Iterator[IntactError]:
    """Yields the notes of one shard, with its name in front."""
    for note in notes:
        yield IntactError(
            f"shard `{name}`: {note.message}", code=note.code, path=note.path, evidence=note.evidence, help=note.help
        )


def _note(index: Index, code: str, message: str, evidence: Mapping[str, object], help: str) -> IntactError:  # noqa: A002 - as in errors
    return IntactError(message, code=code, path=str(index.path), evidence=evidence, help=help)
