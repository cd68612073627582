"""What a replay showed, and what else is known of how a model differs from the one that was sealed. Plain data, for rules.

A replay runs the recorded inputs through the model with the file's weights in it, as it was run when it was saved. Where the two
runs part is said as the first module that was given the same and gave something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from intact.core.probe import Noise

Status = Literal["equal", "rounding", "different", "raised"]


@dataclass(frozen=True, slots=True)
class Parting:
    """The place where two runs part.

    Attributes:
        path: Of the module whose code gave something else; "" for the model itself.
        class_name: Its class, as it is now.
        difference: Relative distance of the first tensor that differs; infinite where shapes or NaN differ.
        before: Path of the module that is called next with other inputs, where the difference arises between two calls.
        after: Path of the module that was called last with the same result.
    """

    path: str
    class_name: str
    difference: float
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """How far one output is from what was recorded.

    Attributes:
        name: Of the output (`logits`); "" where there is but one.
        relative: Norm of the difference over the norm of the recorded output, an estimate where values were not kept.
        absolute: Largest difference of an element; None where values were not kept.
        tolerance: Smallest `rtol` that passes beside the `atol` of `torch.testing`; None where values were not kept.
        atol: That `atol`.
        dtype: Of the output; of two, the coarser.
        reason: What differs, where no distance can be given: shape, dtype, another text, an output less.
    """

    name: str
    relative: float
    absolute: float | None = None
    tolerance: float | None = None
    atol: float = 0.0
    dtype: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay showed.

    Attributes:
        status: Equal bits, within rounding, different, or it raised.
        parting: Where the runs part by more than rounding.
        first_bits: Where the first bit differs.
        gaps: Outputs that are not equal, those beyond rounding first.
        raised: What the model raised.
    """

    status: Status
    parting: Parting | None = None
    first_bits: Parting | None = None
    gaps: tuple[Gap, ...] = ()
    raised: str = ""

    @property
    def place(self) -> Parting | None:
        """Where the runs part, by whatever there is to go by."""
        return self.parting or self.first_bits


@dataclass(frozen=True, slots=True)
class ModeEffect:
    """What training mode does to a model that was saved in eval mode.

    Attributes:
        dropouts: Paths and classes of modules that drop at random.
        norms: Paths and classes of modules that normalise with the statistics of the batch.
        others: The module where the runs part otherwise.
        relative: How far the outputs are apart.
        raised: What the model raises in that mode, "" where it returns.
    """

    dropouts: tuple[tuple[str, str], ...] = ()
    norms: tuple[tuple[str, str], ...] = ()
    others: tuple[tuple[str, str], ...] = ()
    relative: float = 0.0
    raised: str = ""


@dataclass(frozen=True, slots=True)
class AttributeChange:
    """One plain attribute, or the class, of a module that is not what it was.

    Attributes:
        path: Of the module.
        class_name: Its class now.
        name: Of the attribute; `class` for the class itself.
        then: When the model was saved.
        now: In the live model.
        used: Whether the code that runs in `forward` reads it, as far as that is known.
    """

    path: str
    class_name: str
    name: str
    then: Any
    now: Any
    used: bool = True


@dataclass(frozen=True, slots=True)
class SourceChange:
    """A class whose text is not what it was.

    Attributes:
        class_name: `module:Qualname`.
        then: Digest of its text when the model was saved.
        now: Digest of its text here.
        lines: Lines that differ, with - and + in front, where the text was recorded.
    """

    class_name: str
    then: str
    now: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BehaviourFacts:
    """All that rules may ask of a model's behaviour.

    Attributes:
        saving: Whether the model is being saved, and not held against a file.
        probed: Whether behaviour was recorded.
        why_not: Why it could not be recorded or replayed, "" where it was.
        replay: What the replay showed.
        noise: Where two runs of the saved model part.
        mode: What the live model's training mode does.
        written: Keys of state that the replay changed, and the recorded run did not.
        attributes: Plain attributes that differ.
        sources: Classes whose text differs.
        buffers: Tensors outside of the state dict that hold other values.
        environment: What differs between the recorded environment and this one and may change outputs.
    """

    saving: bool = False
    probed: bool = False
    why_not: str = ""
    replay: Replay | None = None
    noise: Noise | None = None
    mode: ModeEffect | None = None
    written: tuple[str, ...] = ()
    attributes: tuple[AttributeChange, ...] = ()
    sources: tuple[SourceChange, ...] = ()
    buffers: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether the replay showed another behaviour."""
        return self.replay is not None and self.replay.status in ("different", "raised")

    @property
    def same(self) -> bool:
        """Whether the replay showed the same behaviour, module by module."""
        return self.replay is not None and self.replay.status in ("equal", "rounding") and self.replay.parting is None
