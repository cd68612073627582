"""The report of an audit: verdict, codes, paths, help, what stops a save, and silence on healthy models."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.unit.model import faulty_models as faulty
from tests.unit.model.faulty_models import used
from torch import nn

import intact
from intact.auditing import audit, stopped_by
from intact.core.codes import CODES
from intact.core.inventory import Inventory, Item
from intact.model.making.architecture import capture


def on_meta() -> nn.Module:
    """Returns a model without values."""
    with torch.device("meta"):
        return nn.Linear(2, 2)


def diverged() -> nn.Module:
    """Returns a model that is nothing but nan."""
    model = nn.Linear(2, 2)
    for parameter in model.parameters():
        parameter.data.fill_(float("nan"))
    return model


def untied() -> nn.Module:
    """Returns a model whose tie was broken."""
    model = faulty.Tied()
    model.head.weight = nn.Parameter(torch.ones(5, 3))
    return model


def unshared() -> nn.Module:
    """Returns a model one of whose shared layers was replaced."""
    model = faulty.TwoSides()
    model.decoder.embed = nn.Embedding(4, 3)
    return model


STOPPING: dict[str, tuple[Callable[[], nn.Module], str, str, tuple[str, ...]]] = {
    "lists": (faulty.InLists, "arch/unregistered-module", "lossy", ("convs[0].weight", "nn.ModuleList", "InLists")),
    "parameters": (faulty.LooseParameters, "arch/unregistered-tensor", "lossy", ("scales[0]", "nn.ParameterList")),
    "random": (faulty.Random, "arch/unregistered-tensor", "lossy", ("order", 'register_buffer("order"')),
    "random buffer": (faulty.Random, "arch/non-persistent-buffer", "lossy", ("projection", "persistent=False")),
    "gathered": (lambda: used(faulty.Gathering()), "arch/non-persistent-buffer", "lossy", ("usage",)),
    "first batch": (lambda: used(faulty.FirstBatch()), "arch/unregistered-tensor", "lossy", ("mean",)),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(2)), "arch/lazy-uninitialized", "lossy", ("0.weight",)),
    "meta": (on_meta, "value/never-loaded", "lossy", ("weight", "bias")),
    "nan": (diverged, "value/nan", "damaged", ("weight", "2 parameters")),
    "left out": (faulty.LeavesOut, "arch/custom-loader", "lossy", ("left.weight",)),
    "not taken": (faulty.TakesHalf, "arch/custom-loader", "lossy", ("left.weight",)),
    "raises": (faulty.GivesExtra, "arch/custom-loader", "lossy", ("_extra_state",)),
    "untied": (untied, "arch/tied-weights", "lossy", ("head.weight", "embed.weight")),
    "unshared": (unshared, "arch/tied-weights", "lossy", ("decoder.embed.weight", "encoder.embed.weight")),
}


@pytest.mark.parametrize("name", STOPPING)
def test_what_is_lost_for_sure_stops_a_save_by_its_code(name: str) -> None:
    """The code is what the user allows, and paths, class and help are what the user changes."""
    build, code, verdict, words = STOPPING[name]
    report = intact.audit(build())
    assert report.verdict == verdict, str(report)
    assert code in stopped_by(report, ())
    assert stopped_by(report, stopped_by(report, ())) == ()
    text = report.to_json()
    for word in words:
        assert json.dumps(word)[1:-1] in text, word
    assert f'allow=["{code}"]' in str(report)
    assert verdict == "damaged" or code in report.plan.lossy_codes


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (lambda: used(faulty.ActNorm()), "behaviour/forward-changes-state"),
        (lambda: used(faulty.Late()), "arch/lazy-uninitialized"),
        (lambda: faulty.Fitted().fit(torch.ones(4, 3)), "arch/unregistered-tensor"),
    ],
)
def test_what_is_only_likely_does_not_stop_a_save(build: Callable[[], nn.Module], code: str) -> None:
    """A warning says what to look at; the exit status tells it as well."""
    report = audit(build())
    assert report.verdict == "suspect"
    assert [finding.code for finding in report.findings] == [code]
    assert stopped_by(report, ()) == ()


def test_a_factory_is_built_and_audited() -> None:
    """`intact.audit(Net)` and `intact.audit(Net())` say the same."""
    assert intact.audit(faulty.InLists).to_dict() == intact.audit(faulty.InLists()).to_dict()
    with pytest.raises(intact.ModelError):
        intact.audit(lambda: 3)  # type: ignore[arg-type,return-value]


def test_the_report_is_on_a_model_and_no_file() -> None:
    """Tools read the same schema; a path that is not there is empty."""
    data = intact.audit(faulty.InLists()).to_dict()
    assert data["source"]["path"] == data["source"]["container"] == ""
    assert data["target"] == {"class": "InLists", "tensors": 2}
    (finding,) = data["findings"]
    assert finding["evidence"]["bytes"] == 128
    assert finding["key_count"] == 8


def test_the_text_says_how_many_things_would_not_survive() -> None:
    """The first lines are all that many people read."""
    lines = str(intact.audit(faulty.InLists())).splitlines()
    assert lines[0] == "InLists: 2 tensors, 6 values, 24 bytes"
    assert lines[2] == "lossy: 4 things would not survive a save"
    assert 'intact.save(model, path, allow=["arch/unregistered-module"])' in lines[-1]
    assert str(intact.audit(nn.Linear(2, 2))).endswith("intact: everything that was found on the model survives a save")


def test_an_audit_with_a_captured_construction_says_the_same() -> None:
    """A save has it at hand."""
    for build in (faulty.InLists, faulty.Plain, unshared):
        model = build()
        assert audit(model, capture(model)).to_dict() == audit(model).to_dict()


def test_an_audit_changes_nothing() -> None:
    """Values, modes, gradients and random numbers are as before."""
    model = faulty.Random()
    before = {name: repr(value) for name, value in vars(model).items()}
    torch.manual_seed(1)
    wanted = torch.rand(1)
    torch.manual_seed(1)
    intact.audit(model)
    assert torch.equal(torch.rand(1), wanted)
    assert {name: repr(value) for name, value in vars(model).items()} == before


def test_every_kind_of_item_is_reported_by_a_rule() -> None:
    """What is found and told by nobody is as good as not looked for."""
    from typing import get_args

    from intact.auditing import report_of
    from intact.core.description import Description
    from intact.core.inventory import Kind
    from intact.core.tensor import TensorInfo

    for kind in get_args(Kind):
        item = Item(kind, "a.b", "Thing", "Net", (TensorInfo("a.b", "float32", (2,)),), "lost", "because", "b", "a.c")
        report = report_of(Inventory((item,)), "Net", Description())
        assert len(report.findings) == 1, kind
        assert report.findings[0].code in CODES
        assert report.findings[0].keys == ("a.b",)


def families() -> dict[str, tuple[str, dict[str, Any]]]:
    """Returns model type to class and a small configuration."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    text = {**sizes, "vocab_size": 60, "max_position_embeddings": 64, "pad_token_id": 0}
    picture = {**sizes, "image_size": 32, "patch_size": 8}
    grouped = {**text, "num_key_value_heads": 2, "head_dim": 8}
    both = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "d_model": 32}
    sound = {**sizes, "conv_dim": [16, 16], "conv_stride": [5, 2], "conv_kernel": [10, 3], "vocab_size": 40}
    waves = {**sound, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
    return {
        "bert": ("BertForMaskedLM", text),
        "roberta": ("RobertaForMaskedLM", text),
        "albert": ("AlbertForMaskedLM", text),
        "gpt2": ("GPT2LMHeadModel", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 60, "n_positions": 64}),
        "llama": ("LlamaForCausalLM", grouped),
        "mistral": ("MistralForCausalLM", grouped),
        "mixtral": ("MixtralForCausalLM", grouped),
        "gemma": ("GemmaForCausalLM", grouped),
        "t5": ("T5ForConditionalGeneration", {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "vocab_size": 60}),
        "bart": ("BartForConditionalGeneration", {**both, "vocab_size": 60}),
        "whisper": ("WhisperForConditionalGeneration", {**both, "vocab_size": 60, "pad_token_id": 0}),
        "vit": ("ViTForImageClassification", picture),
        "swin": ("SwinForImageClassification", {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "image_size": 32}),
        "convnext": ("ConvNextForImageClassification", {"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1]}),
        "clip": ("CLIPModel", {"text_config": text, "vision_config": picture}),
        "wav2vec2": ("Wav2Vec2ForPreTraining", waves),
    }


@pytest.mark.parametrize("name", families())
def test_models_of_transformers_hear_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They hold position tables, caches, tied heads, norms in parts and buffers that are not persistent, all of it healthy."""
    transformers = pytest.importorskip("transformers")
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    cls, sizes = families()[name]
    model = getattr(transformers, cls)(transformers.AutoConfig.for_model(name, **sizes))
    report = intact.audit(model)
    assert report.verdict == "intact", str(report)


def test_a_tie_of_transformers_that_was_broken_is_told() -> None:
    """Its table of tied keys stands on the model, by the configuration of this very model."""
    transformers = pytest.importorskip("transformers")
    cls, sizes = families()["gpt2"]
    model = getattr(transformers, cls)(transformers.AutoConfig.for_model("gpt2", **sizes))
    model.lm_head.weight = nn.Parameter(torch.ones(60, 32))
    assert stopped_by(intact.audit(model), ()) == ("arch/tied-weights",)
