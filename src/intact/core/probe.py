"""How a model behaved on example inputs, as a record: inputs, outputs, and fingerprints of what each module was given and gave.

A fingerprint is a digest, which tells equal bits, and a sketch of nine numbers, which tells how far two tensors are apart. Each
distinct tensor is kept once, so that hundreds of calls take tens of kilobytes. Reading the text trusts nothing in it: what is
malformed, too long, or refers to what is not there is a `ValueError`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

VERSION = 1
"""Version of the record; one that is not known is not replayed."""

MOST_BYTES = 1 << 20
"""Bytes of the text: more would make the header of a small model larger than its weights."""

MOST_READ_BYTES = 4 << 20
"""Bytes of a text that is read; later versions may write more than this one."""

MOST_CALLS = 20_000
"""Calls of modules that are looked at; a model that unrolls a long sequence makes many of one cell."""

PROJECTIONS = 8
"""Random projections of a sketch; with eight the distance is right within a factor of three, always."""

ABSENT = -1
"""In place of an index: there is none."""

_Index = Annotated[int, msgspec.Meta(ge=-1, le=2**31)]
_Size = Annotated[int, msgspec.Meta(ge=0, le=2**62)]

Place = Literal["inputs", "outputs"]


class Fingerprint(msgspec.Struct, frozen=True, array_like=True):
    """One tensor, or one plain value of an output.

    Attributes:
        dtype: As torch spells it; the name of the type for a plain value.
        shape: In elements.
        digest: Of all bits.
        sketch: The norm of a fixed sample of the elements and eight projections of it, float32 or float64, in base64; "" where
            the value has none.
        odd: How many elements of the sample are NaN, too large, and too small to be numbers; "" for none.
    """

    dtype: str
    shape: tuple[_Size, ...]
    digest: str
    sketch: str = ""
    odd: str = ""


class CallRecord(msgspec.Struct, frozen=True, array_like=True):
    """One call of a module.

    Attributes:
        module: Which, as a place in `Trace.modules`.
        parent: The call within which it was made; `ABSENT` for the outermost.
        inputs: Names of its inputs, as a place in `Trace.forms`.
        given: Their fingerprints, as places in `Trace.prints`.
        outputs: Names of its outputs.
        gave: Their fingerprints.
    """

    module: _Index
    parent: _Index
    inputs: _Index
    given: tuple[_Index, ...]
    outputs: _Index
    gave: tuple[_Index, ...]


class Output(msgspec.Struct, frozen=True, array_like=True):
    """One leaf of what the model returned.

    Attributes:
        name: Where it stands (`logits`, `[0]`).
        fingerprint: Of it.
        values: Its values as float32 or float64 in base64, or the text of a plain value; "" where they would take too much room.
    """

    name: str
    fingerprint: Fingerprint
    values: str = ""


class Trace(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run.

    Attributes:
        outputs: The leaves of what it returned.
        modules: Paths and classes of the modules that were called.
        forms: Names of inputs and outputs, each set of names once.
        prints: Each distinct fingerprint once.
        calls: In the order in which they began.
        cut: Whether there were more calls than are kept.
        raised: What it raised, "" where it returned.
    """

    outputs: tuple[Output, ...] = ()
    modules: tuple[tuple[str, str], ...] = ()
    forms: tuple[tuple[str, ...], ...] = ()
    prints: tuple[Fingerprint, ...] = ()
    calls: tuple[CallRecord, ...] = ()
    cut: bool = False
    raised: str = ""

    def events(self) -> Iterator[tuple[Place, int]]:
        """Yields what happened, in order: a call began (its inputs are known), or it ended (its outputs are)."""
        running: list[int] = []
        for number, call in enumerate(self.calls):
            while running and running[-1] != call.parent:
                yield "outputs", running.pop()
            yield "inputs", number
            running.append(number)
        while running:
            yield "outputs", running.pop()

    def leaves(self, place: Place, call: CallRecord) -> dict[str, Fingerprint]:
        """Returns the fingerprints of a call's inputs or outputs by name."""
        form, held = (call.inputs, call.given) if place == "inputs" else (call.outputs, call.gave)
        return {name: self.prints[at] for name, at in zip(self.forms[form], held, strict=True)} if form != ABSENT else {}


class Table(msgspec.Struct, frozen=True, array_like=True):
    """A plain attribute that is too large for a hyperparameter, such as a vocabulary.

    Attributes:
        path: Of the module.
        name: Of the attribute.
        kind: `dict`, `list`, `set`.
        count: Its entries.
        digest: Of its content, in its order.
        head: Its first entries, as text.
    """

    path: str
    name: str
    kind: str
    count: _Size
    digest: str
    head: tuple[str, ...] = ()


class Noise(msgspec.Struct, frozen=True):
    """Where two runs of one model part.

    Attributes:
        path: Of the module.
        class_name: Its class.
        difference: Largest relative distance of an output.
    """

    path: str
    class_name: str
    difference: float


class Probe(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that is recorded of a model's behaviour.

    Attributes:
        version: Of the record.
        seed: Of the random number generators.
        inputs: Positional and keyword arguments, as plain data with tensors in it.
        trace: The run.
        noisy: For each call, whether its inputs (1), its outputs (2) or both (3) come out otherwise in the next run; "" for none.
        unsteady: Names of the outputs that do.
        noise: Where that begins; None where two runs agree.
        tables: Large plain attributes of the modules.
        buffers: Fingerprints of the tensors outside of the state dict.
        writes: Keys of state that the run itself changes.
        device: Where it ran.
        dtype: Of the first parameter that has floating-point numbers, "" where none has.
    """

    version: int
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] = 0
    inputs: Any = None
    trace: Trace = Trace()
    noisy: str = ""
    unsteady: tuple[str, ...] = ()
    noise: Noise | None = None
    tables: tuple[Table, ...] = ()
    buffers: dict[str, Fingerprint] = {}
    writes: tuple[str, ...] = ()
    device: str = "cpu"
    dtype: str = ""

    def to_json(self) -> str:
        """Returns the record as JSON text."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Probe:
        """Returns the record that a text holds.

        Raises:
            ValueError: The text is no such record, is of another version or too long, or refers to what is not in it.
        """
        if len(text) > MOST_READ_BYTES:
            raise ValueError(f"the probe has {len(text)} characters, and {MOST_READ_BYTES} are the most that are read")
        try:
            version = msgspec.json.decode(text, type=_Versioned).version
            if version != VERSION:
                raise ValueError(f"the probe is of version {version}, and this intact knows version {VERSION}")
            found = msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise ValueError(f"the probe cannot be read: {error}") from None
        _check(found)
        return found


class _Versioned(msgspec.Struct):
    version: int


def _check(found: Probe) -> None:
    trace = found.trace
    if len(trace.calls) > MOST_CALLS or (found.noisy and len(found.noisy) != len(trace.calls)):
        raise ValueError("the probe holds too many calls, or marks for other ones")
    if set(found.noisy) - set("0123"):
        raise ValueError("the probe holds an unknown mark")
    running: list[int] = []
    for number, call in enumerate(trace.calls):
        while running and running[-1] != call.parent:
            running.pop()
        if (not running and call.parent != ABSENT) or not 0 <= call.module < len(trace.modules):
            raise ValueError("a call of the probe refers to a module or call that it does not hold")
        running.append(number)
        _check_leaves(trace, call.inputs, call.given)
        _check_leaves(trace, call.outputs, call.gave)
    for one in (*trace.prints, *(output.fingerprint for output in trace.outputs), *found.buffers.values()):
        _check_sketch(one)


def _check_leaves(trace: Trace, form: int, held: tuple[int, ...]) -> None:
    names = trace.forms[form] if 0 <= form < len(trace.forms) else () if form == ABSENT else None
    if names is None or len(names) != len(held) or any(not 0 <= at < len(trace.prints) for at in held):
        raise ValueError("a call of the probe refers to a tensor that it does not hold")


def _check_sketch(one: Fingerprint) -> None:
    try:
        size = len(base64.b64decode(one.sketch.encode("ascii"), validate=True))
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError(f"a sketch of the probe is malformed: {error}") from None
    if size not in (0, 4 * (PROJECTIONS + 1), 8 * (PROJECTIONS + 1)):
        raise ValueError("a sketch of the probe has another size than sketches have")
