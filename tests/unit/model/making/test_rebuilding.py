"""Models of every kind, rebuilt from what was recorded of them; and what is refused."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import torch
from tests.unit.model.architectures import CASES, AnyConfig, FunctionGiven, Mlp, ModuleGiven, Rotary, WithDtype, X, swish
from torch import nn

import intact
from intact.core.architecture import Architecture
from intact.model.making.architecture import capture
from intact.model.making.rebuilding import class_changes, rebuild, signature_changes, structure_differences


def travelled(model: nn.Module) -> Architecture:
    """Returns what a file would hold of a model's architecture."""
    return Architecture.from_json(capture(model).architecture.to_json())


def same(first: Any, second: Any) -> bool:
    """Whether two outputs are equal bit for bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, tuple | list):
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))
    return bool(first == second)


def given_class(model: nn.Module) -> type | None:
    """Returns the class to pass: none for torch's own."""
    return None if type(model).__module__.startswith("torch.") else type(model)


@pytest.mark.parametrize("name", CASES)
def test_a_model_is_rebuilt_equal(name: str) -> None:
    """What comes back computes the same once it is filled; the constructors are of every kind that people write."""
    make, inputs = CASES[name]
    model = make().eval()
    architecture = travelled(model)
    assert architecture.constructor.proved, architecture.constructor.reason
    rebuilt = rebuild(architecture, given_class(model)).eval()
    rebuilt.load_state_dict(model.state_dict())
    assert type(rebuilt) is type(model)
    assert repr(rebuilt) == repr(model)
    with torch.no_grad():
        assert same(model(*inputs), rebuilt(*inputs))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", ["bert", "llama", "t5"])
def test_a_transformer_is_rebuilt_from_its_configuration(family: str) -> None:
    """Tables that are not saved are made again from the configuration, here with a base that is not the default."""
    hub: Any = import_module("transformers")
    tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}
    makers: dict[str, Callable[[], Any]] = {
        "bert": lambda: hub.BertModel(hub.BertConfig(**tiny), add_pooling_layer=False),
        "llama": lambda: hub.LlamaForCausalLM(hub.LlamaConfig(**tiny, rope_theta=500000.0)),
        "t5": lambda: hub.T5Model(hub.T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, vocab_size=50)),
    }
    model = makers[family]()
    architecture = travelled(model)
    assert architecture.constructor.how == "config"
    assert architecture.constructor.proved, architecture.constructor.reason
    rebuilt: Any = rebuild(architecture, type(model))
    assert rebuilt.config.to_dict() == model.config.to_dict()
    assert rebuilt.state_dict().keys() == model.state_dict().keys()
    for (key, buffer), (other, again) in zip(model.named_buffers(), rebuilt.named_buffers(), strict=True):
        assert key == other
        assert torch.equal(buffer, again)


def test_a_table_with_another_base_is_not_taken_for_the_default() -> None:
    """The base shows only in a buffer that no file holds; with the default every key would match and every output differ."""
    architecture = travelled(Rotary(6, base=50.0))
    assert not architecture.constructor.proved
    assert "inv_freq" in architecture.constructor.reason
    with pytest.raises(intact.LoadRefused, match="inv_freq"):
        rebuild(architecture, Rotary)


class Untraceable(nn.Module):
    """Nothing tells what the argument was."""

    def __init__(self, table: list[object]) -> None:
        super().__init__()
        self.fc = nn.Linear(6, len(table) + 3)


def test_what_could_not_be_captured_is_named() -> None:
    """At saving time, by the name of the argument, and again if somebody loads it all the same."""
    architecture = travelled(Untraceable([object()]))
    constructor = architecture.constructor
    assert constructor.how == "none"
    assert [name for name, _ in constructor.uncaptured] == ["table"]
    with pytest.raises(intact.LoadRefused, match="`table`") as caught:
        rebuild(architecture, Untraceable)
    assert caught.value.code == "arch/class-differs"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda model: setattr(model, "second", nn.Linear(5, 4, bias=False)), "second.bias"),
        (lambda model: nn.utils.parametrizations.weight_norm(model.first), "first"),
        (lambda model: setattr(model, "drop", nn.Identity()), "drop"),
        (lambda model: model.first.register_forward_hook(lambda *_: None), "first._forward_hooks"),
        (lambda model: model.second.half(), "second.weight"),
        (lambda model: setattr(model, "extra", object()), "extra"),
        (lambda model: setattr(model.second, "weight", nn.Parameter(model.second.weight.T.contiguous())), "second.weight"),
    ],
)
def test_a_model_changed_after_construction_is_not_proved(change: Callable[[Mlp], Any], named: str) -> None:
    """Rebuilding would give another model; the first difference is named."""
    model = Mlp(6, 5, 4)
    change(model)
    architecture = travelled(model)
    assert not architecture.constructor.proved
    assert named in architecture.constructor.reason
    with pytest.raises(intact.LoadRefused) as caught:
        rebuild(architecture, Mlp)
    assert named in caught.value.message


def test_a_tie_that_the_constructor_does_not_make_is_not_proved() -> None:
    """A rebuilt model would train the two apart."""
    model = Mlp(6, 5, 6)
    model.second.weight = nn.Parameter(model.second.weight)
    model.first.bias = model.drop.bias = nn.Parameter(torch.zeros(5))
    assert "drop" in travelled(model).constructor.reason


def test_a_model_that_ran_is_still_proved() -> None:
    """Forward leaves tensors behind; they are no part of how the model was made."""

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 6)
            self.seen: list[torch.Tensor] = []
            self.last: torch.Tensor | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.last = self.fc(x)
            self.seen.append(self.last)
            return self.last

    model = Watching()
    model(X)
    assert travelled(model).constructor.proved


def module_of(source: str, monkeypatch: pytest.MonkeyPatch, name: str = "made_up_package") -> ModuleType:
    """Returns a loaded module with this source."""
    module = ModuleType(name)
    exec(compile(source, f"{name}.py", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, name, module)
    return module


NET = """
import torch
class Net(torch.nn.Module):
    def __init__(self, width, p=0.1):
        super().__init__()
        self.width, self.p = width, p
        self.fc = torch.nn.Linear(width, width)
"""


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("self, width, heads, p=0.1", "now requires the argument `heads`"),
        ("self, width", "the argument `p`, which the class no longer takes"),
    ],
)
def test_a_signature_that_no_longer_fits_is_refused(signature: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guessing a value would be a model that differs without a word."""
    architecture = travelled(module_of(NET, monkeypatch).Net(6))
    later = module_of(NET.replace("self, width, p=0.1", signature).replace("width, p\n", "width, 0\n"), monkeypatch).Net
    with pytest.raises(intact.LoadRefused, match=message) as caught:
        rebuild(architecture, later)
    assert caught.value.code == "arch/class-differs"


def test_another_default_does_not_change_the_rebuilt_model_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The value of the time of saving is recorded, whether it was given or not."""
    architecture = travelled(module_of(NET, monkeypatch).Net(6))
    later = module_of(NET.replace("p=0.1", "p=0.5, eps=1"), monkeypatch).Net
    assert rebuild(architecture, later).p == 0.1
    changes = {(change.kind, change.name, change.recorded, change.current) for change in signature_changes(architecture, later)}
    assert changes == {("default-differs", "p", 0.1, 0.5), ("argument-added", "eps", None, 1)}
    assert signature_changes(architecture, module_of(NET, monkeypatch).Net) == []


def test_another_class_is_refused() -> None:
    """A file of one model is not loaded into another because somebody mixed up two names."""
    with pytest.raises(intact.LoadRefused, match=r"a `tests\.unit\.model\.architectures:Rotary` was given"):
        rebuild(travelled(Mlp(6, 5, 4)), Rotary)


def test_a_class_that_moved_to_another_module_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script is saved as `__main__` and loaded from a package."""
    architecture = travelled(module_of(NET, monkeypatch, "first_home").Net(6))
    moved = module_of(NET, monkeypatch, "second_home").Net
    assert type(rebuild(architecture, moved)) is moved


def test_nothing_is_used_without_being_trusted() -> None:
    """A dotted path in a file is text; the error says what to pass."""
    architecture = travelled(Mlp(6, 5, 4))
    with pytest.raises(intact.LoadRefused, match=r'trust=\["tests"\]') as caught:
        rebuild(architecture)
    assert caught.value.code == ""
    assert isinstance(rebuild(architecture, trust=["tests"]), Mlp)


def test_a_registered_class_needs_no_more_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registering is the user's word for one class."""
    monkeypatch.setattr("intact.model.making.trust._registered", {})
    assert intact.register(Mlp) is Mlp
    assert isinstance(rebuild(travelled(Mlp(6, 5, 4))), Mlp)
    with pytest.raises(TypeError):
        intact.register(len)  # type: ignore[type-var]


HOSTILE = [
    "os:system",
    "builtins:eval",
    "builtins:open",
    "torch:load",
    "torch.hub:load",
    "subprocess:Popen",
    "intact.api:repair",
    "torch.nn.functional:importlib",
    "torch.nn.functional:_get_softmax_dim",
    "torch.serialization:load",
    "nothing.there:x",
    "noname",
]


@pytest.mark.parametrize("reference", HOSTILE)
def test_a_hostile_reference_is_refused(reference: str) -> None:
    """As an argument, as a class, as the model: nothing of it is called, imported or handed over."""
    plain = travelled(FunctionGiven(6, swish))
    for hostile in ({"~": "ref", "v": reference}, {"~": "module", "id": 0, "c": reference, "a": {}}):
        constructor = dataclasses.replace(plain.constructor, arguments={**plain.constructor.arguments, "act": hostile})
        with pytest.raises(intact.LoadRefused):
            rebuild(dataclasses.replace(plain, constructor=constructor), FunctionGiven)
    with pytest.raises(intact.LoadRefused):
        rebuild(dataclasses.replace(plain, class_name=reference))


def test_an_import_runs_only_for_a_trusted_package(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the right name on the path is not imported because a file names it."""
    loud = NET + "\nimport builtins\nbuiltins.loud_package_was_imported = True\n"
    (tmp_path / "loud_package.py").write_text(loud, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    plain = travelled(nn.Linear(3, 4))
    constructor = dataclasses.replace(plain.constructor, arguments={"width": 6})
    architecture = dataclasses.replace(plain, class_name="loud_package:Net", constructor=constructor, modules=())
    import builtins

    with pytest.raises(intact.LoadRefused, match="loud_package"):
        rebuild(architecture)
    assert not hasattr(builtins, "loud_package_was_imported")
    try:
        assert rebuild(architecture, trust=["loud_package"]).width == 6
    finally:
        del builtins.loud_package_was_imported  # type: ignore[attr-defined]
        sys.modules.pop("loud_package", None)


def test_arguments_that_ask_for_more_memory_than_the_file_fills_are_refused() -> None:
    """Ten bytes of text can ask for a terabyte."""
    plain = travelled(nn.Linear(3, 4))
    constructor = dataclasses.replace(plain.constructor, arguments={"in_features": 10**6, "out_features": 10**6})
    with pytest.raises(intact.LoadRefused, match="4000004000000 bytes"):
        rebuild(dataclasses.replace(plain, constructor=constructor), most_bytes=64)
    assert isinstance(rebuild(plain, most_bytes=64), nn.Linear)


def test_a_recorded_device_is_replaced_by_the_one_asked_for() -> None:
    """A model saved on a GPU is loaded where there is none."""
    plain = travelled(WithDtype(6, device=torch.device("cpu")))
    arguments = {**plain.constructor.arguments, "device": {"~": "device", "v": "cuda:7"}}
    architecture = dataclasses.replace(plain, constructor=dataclasses.replace(plain.constructor, arguments=arguments))
    assert next(rebuild(architecture, WithDtype).parameters()).device.type in ("cpu", "cuda")
    assert next(rebuild(architecture, WithDtype, device="meta").parameters()).is_meta


@pytest.mark.filterwarnings("ignore")
def test_a_wrapped_model_is_rebuilt_wrapped_or_by_its_own_class() -> None:
    """The wrapper is no part of the architecture that anybody wrote."""
    architecture = travelled(nn.DataParallel(Mlp(6, 5, 4)))
    assert isinstance(rebuild(architecture, Mlp), Mlp)
    wrapped = rebuild(architecture, trust=["tests"])
    assert isinstance(wrapped, nn.DataParallel)
    assert isinstance(wrapped.module, Mlp)
    compiled = travelled(torch.compile(Mlp(6, 5, 4)))  # type: ignore[arg-type]
    assert isinstance(rebuild(compiled, Mlp), Mlp)
    with pytest.raises(intact.LoadRefused, match="Rotary"):
        rebuild(architecture, Rotary)


def test_what_differs_in_structure_or_source_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that changed is told; modules that are not those recorded are refused by `rebuild` itself."""
    architecture = travelled(ModuleGiven(Mlp(6, 5, 6)))
    assert structure_differences(architecture, ModuleGiven(Mlp(6, 5, 6))) == []
    assert structure_differences(architecture, ModuleGiven(nn.Linear(6, 6))) == ["fn", "fn.first", "fn.drop", "fn.second"]
    assert class_changes(architecture, ModuleGiven(Mlp(6, 5, 6))) == []
    other = tuple(dataclasses.replace(record, digest="sha256:0") for record in architecture.classes)
    changed = class_changes(dataclasses.replace(architecture, classes=other), ModuleGiven(Mlp(6, 5, 6)))
    assert {change.kind for change in changed} == {"source-differs"}
    fewer = dataclasses.replace(architecture, modules=architecture.modules[:-1])
    with pytest.raises(intact.LoadRefused, match=r"fn\.second"):
        rebuild(fewer, ModuleGiven)


def test_a_configuration_from_another_package_needs_its_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's class says nothing of packages that it does not name."""
    config = module_of("class Config:\n    def __init__(self):\n        self.width, self.depth = 6, 1\n", monkeypatch, "far_away")
    architecture = travelled(AnyConfig(config.Config()))
    with pytest.raises(intact.LoadRefused, match=r'trust=\["far_away"\]'):
        rebuild(architecture, AnyConfig)
    rebuilt: Any = rebuild(architecture, AnyConfig, trust=["far_away"])
    assert rebuilt.config.depth == 1


def test_a_constructor_that_does_otherwise_today_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that stands in the source, or in a global, is no argument; it is noticed all the same."""
    source = "RATE = 0.1\n" + NET.replace("self.width, self.p", "self.rate = RATE\n        self.width, self.p")
    architecture = travelled(module_of(source, monkeypatch).Net(6))
    later = module_of(source.replace("RATE = 0.1", "RATE = 0.2"), monkeypatch).Net
    with pytest.raises(intact.LoadRefused, match=r"`rate` was 0\.1 and is 0\.2"):
        rebuild(architecture, later)


def test_a_place_of_the_machine_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A constructor that asks for a GPU or for the home folder finds another one elsewhere."""
    source = NET.replace("self.width, self.p", "self.where, self.home = 'cuda:0', '/home/one'\n        self.width, self.p")
    architecture = travelled(module_of(source, monkeypatch).Net(6))
    later = module_of(source.replace("cuda:0", "cpu").replace("home/one", "home/two"), monkeypatch).Net
    rebuilt: Any = rebuild(architecture, later)
    assert rebuilt.where == "cpu"


def test_the_argument_that_only_guesses_were_tried_for_is_named() -> None:
    """A difference in a shape does not tell a person which argument is missing."""

    class Wrapping(nn.Module):
        def __init__(self, wrap: Callable[[nn.Module], nn.Module], width: int) -> None:
            super().__init__()
            self.fc = wrap(nn.Linear(width, width))

    constructor = travelled(Wrapping(nn.utils.parametrizations.weight_norm, 6)).constructor
    assert [name for name, _ in constructor.uncaptured] == ["wrap", "width"]
    assert "no value of `wrap`" in constructor.reason


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        (lambda model: setattr(model, "extra", 5), ("", "extra", 5)),
        (lambda model: setattr(model, "history", [1, 2.5, "x"]), ("", "history", [1, 2.5, "x"])),
        (lambda model: setattr(model.drop, "p", 0.75), ("drop", "p", 0.75)),
    ],
)
def test_a_plain_attribute_that_was_set_afterwards_comes_back(
    change: Callable[[Mlp], Any], setting: tuple[str, str, Any]
) -> None:
    """Loaders leave marks and people turn dropout up; that must not cost the rebuilt model."""
    model = Mlp(3, 4, 5)
    change(model)
    architecture = travelled(model)
    assert architecture.constructor.proved
    path, name, value = setting
    again = rebuild(architecture, Mlp)
    assert getattr(again.get_submodule(path), name) == value
    if setting[0] == "":
        assert architecture.constructor.settings == (setting,)


@pytest.mark.parametrize(
    "setting", [("", "forward", 1), ("nowhere", "x", 1), ("", "__class__", 1), ("", "x", {"~": "function", "v": "os:system"})]
)
def test_a_setting_that_a_file_makes_up_is_refused(setting: tuple[str, str, Any]) -> None:
    """What is set by hand must be plain, and nothing that the model runs."""
    architecture = travelled(Mlp(3, 4, 5))
    hostile = dataclasses.replace(architecture, constructor=dataclasses.replace(architecture.constructor, settings=(setting,)))
    with pytest.raises(intact.IntactError):
        rebuild(hostile, Mlp)
