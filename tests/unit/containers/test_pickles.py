"""The inert reader of pickles: what it makes of plain data, of names, and of opcodes that contradict each other."""

from __future__ import annotations

import collections
import datetime
import pickle
import struct
from typing import Any

import pytest

from intact.containers.pickles import GlobalName, Size, Unpickled, load
from intact.core.container import Foreign
from intact.errors import Damaged, TooLarge


class Settings:
    """A class of somebody else, for the reader."""

    def __init__(self) -> None:
        self.rate = 0.1


PLAIN: list[Any] = [
    None,
    True,
    [1, -1, 255, 256, 65535, 65536, -(2**31), 2**31, 2**64, -(2**70), 10**40],
    [0.0, -1.5, float("inf"), 1e-300],
    ["", "a", "é", "\n'\"\\", "x" * 70000],
    [b"", b"\x00\xff", b"y" * 300, bytearray(b"z")],
    {"a": 1, 2: "b", None: [], (1, "t"): {}, 1.5: (), True: 3},
    ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    [{1, 2}, frozenset({3}), set(), complex(1, 2), range(2, 9, 3), slice(1, None, 2)],
    [collections.OrderedDict(b=1, a=2), collections.Counter("aab"), collections.defaultdict(list, x=[1])],
]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_data_is_what_pickle_gives(value: Any, protocol: int) -> None:
    """Epochs, learning rates and options stand beside the tensors, in whatever protocol somebody chose."""
    found = load(pickle.dumps(value, protocol)).value
    assert found == value
    assert type(found) is type(value)
    if isinstance(value, list):
        assert [type(item) for item in found] == [type(item) for item in value]


@pytest.mark.parametrize("protocol", range(6))
def test_one_object_of_two_names_stays_one(protocol: int) -> None:
    """Shared parts are how a file says that two layers are tied."""
    shared = [1]
    cycle: dict[str, Any] = {"a": shared, "b": shared}
    cycle["self"] = cycle
    found = load(pickle.dumps(cycle, protocol)).value
    assert found["a"] is found["b"]
    assert found["self"] is found


@pytest.mark.parametrize("protocol", range(6))
def test_an_object_of_an_unknown_class_keeps_all_the_file_says(protocol: int) -> None:
    """Classes disappear; what their objects held is often all a user needs."""
    unpickled = load(pickle.dumps({"s": Settings(), "c": Settings}, protocol))
    record = unpickled.value["s"]
    assert isinstance(record, Foreign)
    assert record.name == f"{__name__}.Settings"
    assert record.state == {"rate": 0.1}
    assert unpickled.value["c"].args is None
    (name,) = unpickled.foreign
    assert (name.name, name.called) == (f"{__name__}.Settings", True)


def test_a_name_that_is_only_mentioned_is_not_said_to_be_called() -> None:
    """A report tells a class that is referred to from a function that would run."""
    (name,) = load(b"\x80\x02cos\nsystem\n.").foreign
    assert (name.name, name.count, name.called, name.position) == ("os.system", 1, False, 2)
    (name,) = load(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.").foreign
    assert name.called


def test_names_of_python_2_are_translated_and_reported_as_written() -> None:
    """Python 3 writes `collections.OrderedDict` as `UserList.OrderedDict` in old protocols; people search for what is written."""
    assert load(b"\x80\x02cUserList\nOrderedDict\n)R.").value == collections.OrderedDict()
    assert load(b"\x80\x02c__builtin__\nset\n(K\x01K\x02l\x85R.").value == {1, 2}
    assert load(b"\x80\x02c__builtin__\neval\n.").foreign[0].name == "__builtin__.eval"


def test_text_of_python_2_is_text_where_it_can_be() -> None:
    """Keys must be text to match a model; raw bytes of arrays must stay bytes."""
    assert load(b"\x80\x02U\x06weight.").value == "weight"
    assert load(b"\x80\x02U\x02\xff\xfe.").value == b"\xff\xfe"
    assert load(b"S'a\\x41'\n.").value == "aA"


def test_names_of_dtypes_and_sizes_become_records_of_their_own() -> None:
    """A dtype is kept by name, so that a file of a newer torch can be described."""
    found = load(b"\x80\x02ctorch\nfloat32\n.").value
    assert isinstance(found, GlobalName)
    assert (found.name, found.dtype) == ("torch.float32", "float32")
    assert load(b"\x80\x02ctorch\nhalf\n.").value.dtype == "float16"
    assert load(b"\x80\x02ctorch\nfloat3_e1m1\n.").value.dtype == "float3_e1m1"
    assert not load(b"\x80\x02ctorch\nfloat3_e1m1\n.").foreign
    size = load(b"\x80\x02ctorch\nSize\n](K\x02K\x03e\x85R.").value
    assert isinstance(size, Size)
    assert size == (2, 3)


def test_dates_are_no_names_to_warn_of() -> None:
    """Training scripts keep the time of saving; that is plain data."""
    assert load(pickle.dumps(datetime.datetime(2020, 1, 2))).foreign == ()


def test_attributes_of_an_ordered_dict_cannot_hide_its_methods() -> None:
    """A file could give it an attribute `items`, and everybody who calls `.items()` would meet what the file chose."""
    raw = b"\x80\x02ccollections\nOrderedDict\n)R}(X\x05\x00\x00\x00itemsK\x01X\x09\x00\x00\x00_metadataK\x02ub."
    found = load(raw).value
    assert list(found.items()) == []
    assert found._metadata == 2


def test_calling_what_a_call_gave_is_recorded_and_nothing_else() -> None:
    """Gadgets fetch a function by one call and call it by the next."""
    raw = b"\x80\x02c__builtin__\ngetattr\ncshutil\nos\nX\x06\x00\x00\x00system\x86RX\x02\x00\x00\x00ls\x85R."
    found = load(raw).value
    assert found.name == "__builtin__.getattr()"
    assert found.args[1] == "ls"


def test_a_second_state_is_added_to_the_first() -> None:
    """Python updates the attributes; a scanner that keeps only the last would be shown half."""
    found = load(b"\x80\x02cm\nC\n)R}X\x01\x00\x00\x00aK\x01sb}X\x01\x00\x00\x00bK\x02sb.").value
    assert found.state == {"a": 1, "b": 2}


def test_persistent_ids_without_a_container_stay_records() -> None:
    """A bare `data.pkl` that somebody unpacked names storages that are not there."""
    found = load(b"\x80\x02X\x01\x00\x00\x000Q.").value
    assert (found.name, found.args) == ("persistent id", ("0",))


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x80", b"\x80\x02", b"\x80\x02]", b"\x80\x02X\x05\x00\x00\x00ab", b"\x80\x02cos\nsys", b"\x80\x04\x8e" + b"\xff" * 7],
    ids=["nothing", "half a header", "no opcode", "no stop", "short text", "short name", "short length"],
)
def test_an_early_end_is_called_truncated(raw: bytes) -> None:
    """The user has to fetch the file again, not to report a bug."""
    with pytest.raises(Damaged) as caught:
        load(raw)
    assert caught.value.code == "file/truncated"


LONG = b"." * 64


@pytest.mark.parametrize(
    "raw",
    [
        b"\x80\x02a" + LONG,
        b"\x80\x02h\x07" + LONG,
        b"\x80\x02t" + LONG,
        b"\x80\x09" + LONG,
        b"\x80\x02\xff" + LONG,
        b"\x80\x02K\x01K\x02a" + LONG,
        b"\x80\x02K\x01K\x02K\x03s" + LONG,
        b"\x80\x02]K\x01b" + LONG,
        b"\x80\x02cm\nC\nK\x01R" + LONG,
        b"\x80\x04K\x01K\x02\x93" + LONG,
        b"\x80\x02X\x01\x00\x00\x00\xff" + LONG,
        b"\x80\x02T\xff\xff\xff\xff" + LONG,
        b"\x80\x02\x8b\xff\xff\xff\xff" + LONG,
        b"I" + b"9" * 5000 + b"\n" + LONG,
        b"Iabc\n" + LONG,
        b"S'abc\n" + LONG,
    ],
)
def test_opcodes_that_contradict_each_other_are_a_damaged_file(raw: bytes) -> None:
    """One flipped bit makes any of these; no traceback may come of it."""
    with pytest.raises(Damaged):
        load(raw)


def test_an_error_names_what_the_pickle_had_mentioned_until_then() -> None:
    """Some attacks run first and break the file afterwards, so that scanners give up on it."""
    with pytest.raises(Damaged) as caught:
        load(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85Ra" + LONG)
    assert caught.value.evidence["names"] == ["os.system"]


def number(value: int) -> bytes:
    """The opcode of a large number."""
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8b" + struct.pack("<I", len(raw)) + raw


LONG_TEXT = b"X" + struct.pack("<I", 1000000) + b"x" * 1000000
SAME_HASH = [number(i * ((1 << 61) - 1)) for i in range(1, 30000)]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x80\x02c_codecs\nencode\nq\x01" + LONG_TEXT + b"q\x02U\x06latin1q\x03" + b"h\x01h\x02h\x03\x86R0" * 9999 + b".",
        b"\x80\x02(" + b"K\x01" * 50000 + b"lq\x00c__builtin__\nset\nq\x01" + b"h\x01h\x00\x85R0" * 20000 + b".",
        b"\x80\x02}(" + b"".join(raw + b"N" for raw in SAME_HASH) + b"u.",
        b"\x80\x04\x8f(" + b"".join(SAME_HASH) + b"\x90.",
        b"\x80\x02}(" + b"".join(raw + b"\x85N" for raw in SAME_HASH) + b"u.",
    ],
    ids=["copies of one text", "sets of one list", "keys of one hash", "members of one hash", "tuples of one hash"],
)  # fmt: skip
@pytest.mark.timeout(20)
def test_a_small_file_cannot_take_all_memory_or_time(raw: bytes) -> None:
    """Opening a file from somewhere must be safe for a server, too."""
    with pytest.raises(TooLarge) as caught:
        load(raw)
    assert caught.value.code == "safety/archive-bomb"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "raw",
    [
        b"\x80\x02" + b"]" * 100000 + b"a" * 99999 + b".",
        b"\x80\x02)" + b"\x85" * 100000 + b".",
        b"\x80\x02})" + b"\x85" * 100000 + b"Ns.",
        b"\x80\x02})" + b"2\x86" * 60 + b"Ns.",
        b"\x80\x02" + b"}K\x01" * 100000 + b"N" + b"s" * 100000 + b".",
        b"\x80\x02cm\nC\nq\x00)R" + b"h\x00)R" * 50000 + b"b" * 50000 + b".",
        b"\x80\x04(" + b"(" * 100000 + b"N" + b"\x91" * 100001 + b".",
    ],
    ids=["lists", "tuples", "a tuple as key", "a shared tuple as key", "dicts", "states", "frozen sets"],
)
def test_nesting_of_any_depth_overflows_nothing(raw: bytes) -> None:
    """Python's own hash and repr of such values end the process."""
    assert isinstance(load(raw), Unpickled)


def test_a_key_that_python_cannot_hash_is_kept_apart() -> None:
    """Python would refuse the file; a description of it is still of use."""
    (key,) = load(b"\x80\x02}]K\x01s.").value
    assert isinstance(key, Foreign)
    assert key.args == ([],)
