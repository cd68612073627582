"""Models of transformers, small and with random weights: into themselves without a word, and through files that it writes itself.

`save_pretrained` writes the names and layouts that published checkpoints have, which are often not those of the classes: tied
weights left out, experts one by one, layers under older names. All of it has to come back bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import intact

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 100}
SEQUENCE = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": 100,
}  # fmt: skip
VISION = {**SMALL, "image_size": 32, "patch_size": 8}
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("BertModel", "BertConfig", {**SMALL, "max_position_embeddings": 64}),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 100, "n_positions": 64}),
    "llama": ("LlamaForCausalLM", "LlamaConfig", {**SMALL, "num_key_value_heads": 2}),
    "qwen2-moe": (
        "Qwen2MoeForCausalLM",
        "Qwen2MoeConfig",
        {
            **SMALL, "num_key_value_heads": 2, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 16,
        },
    ),
    "t5": (
        "T5ForConditionalGeneration",
        "T5Config",
        {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 100},
    ),
    "whisper": (
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        {
            **SEQUENCE, "num_mel_bins": 8, "max_source_positions": 20, "max_target_positions": 20, "pad_token_id": 0,
            "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
        },
    ),
    "vit": ("ViTForImageClassification", "ViTConfig", {**VISION, "num_labels": 5}),
    "clip": (
        "CLIPModel",
        "CLIPConfig",
        {"text_config": {**SMALL, "max_position_embeddings": 16}, "vision_config": VISION, "projection_dim": 16},
    ),
    "mamba": (
        "MambaForCausalLM",
        "MambaConfig",
        {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 100, "state_size": 4},
    ),
    "deberta": ("DebertaV2ForSequenceClassification", "DebertaV2Config", {**SMALL, "max_position_embeddings": 64}),
    "wav2vec2": (
        "Wav2Vec2Model",
        "Wav2Vec2Config",
        {
            **{key: value for key, value in SMALL.items() if key != "vocab_size"}, "conv_dim": (16, 16), "conv_stride": (5, 2),
            "conv_kernel": (10, 3), "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 4, "vocab_size": 32,
        },
    ),
    "resnet": (
        "ResNetForImageClassification",
        "ResNetConfig",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "num_labels": 3},
    ),
    "bart": ("BartForConditionalGeneration", "BartConfig", {**SEQUENCE, "max_position_embeddings": 32}),
}  # fmt: skip


def built(name: str, seed: int) -> torch.nn.Module:
    """A model of a family with weights of its own."""
    model, config, options = FAMILIES[name]
    torch.manual_seed(seed)
    made: torch.nn.Module = getattr(transformers, model)(getattr(transformers, config)(**options))
    return made.eval()


def factory(name: str) -> Callable[[], torch.nn.Module]:
    """Builds the model anew, with other weights."""
    return lambda: built(name, 1)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_into_itself_is_intact(name: str, tmp_path: Path) -> None:
    """Nothing is to be said of it: every finding would be a false alarm."""
    torch.save(built(name, 0).state_dict(), tmp_path / "model.pth")
    report = intact.check(tmp_path / "model.pth", factory(name))
    assert [finding.code for finding in report.findings] == []
    assert report.verdict == "intact"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FAMILIES)
def test_what_the_library_writes_comes_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    """Older names, tied weights left out, experts one by one: repaired without loss, or nothing to repair."""
    original = built(name, 0)
    original.save_pretrained(tmp_path / "hub")  # type: ignore[operator]
    model = built(name, 1)
    report = intact.load_into(model, tmp_path / "hub")
    assert report.verdict in ("intact", "repairable")
    wanted = original.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in model.state_dict().items())


TOKENS = torch.arange(1, 25).reshape(2, 12)
TRAINED: dict[str, dict[str, torch.Tensor]] = {
    "gpt2": {"input_ids": TOKENS, "labels": TOKENS},
    "llama": {"input_ids": TOKENS, "labels": TOKENS},
    "vit": {"pixel_values": torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32), "labels": torch.tensor([0, 3])},
    "bart": {"input_ids": TOKENS, "labels": TOKENS},
    "resnet": {"pixel_values": torch.linspace(-1, 1, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64), "labels": torch.tensor([0, 2])},
}
"""Family to a batch that it can be trained with."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["state", "nested"])
@pytest.mark.parametrize("name", TRAINED)
def test_a_model_that_was_trained_a_little_is_intact(name: str, form: str, tmp_path: Path) -> None:
    """A few layers have moved, others hardly; moments of an optimizer lie beside the weights; nothing of it is a fault."""
    model = built(name, 0).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        model(**TRAINED[name]).loss.backward()
        optimizer.step()
    state = model.state_dict()
    nested = {"model": state, "optimizer": optimizer.state_dict(), "epoch": 3, "config": {"lr": 1e-3}}
    torch.save(state if form == "state" else nested, tmp_path / "model.pth")
    report = intact.check(tmp_path / "model.pth", factory(name))
    assert [finding.code for finding in report.findings] == ([] if form == "state" else ["arch/nested-state"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FAMILIES)
def test_a_new_model_by_itself_raises_no_alarm(name: str, tmp_path: Path) -> None:
    """Its values are looked at without a model: zeros, ones and masks are there by design."""
    torch.save(built(name, 0).state_dict(), tmp_path / "model.pth")
    assert [finding.code for finding in intact.check(tmp_path / "model.pth").findings] == []
