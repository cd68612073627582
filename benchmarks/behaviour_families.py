"""Families of transformers at toy size, and what can be changed in each without any tensor noticing.

A change is either another configuration or an attribute that is set on the built model. Beside each stands where two runs must
part, written down from the source of the library: the module whose own code makes the difference, or several where it is a
matter of taste (a mask is made by the model and used by the attention)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SIZES: Mapping[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
GROUPED = {**SIZES, "num_key_value_heads": 4, "head_dim": 8}
"""With heads of their own size, so that the rotary table stays as it is where only their number would change."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change that leaves all shapes alone.

    Attributes:
        name: What is changed.
        places: Paths of modules, one of which has to be named; "" is the model itself.
        config: Entries of the configuration that are other ones.
        edits: Path of a module, attribute, value: set on the built model, in all modules whose path ends so.
        training: Whether the model is left in training mode.
    """

    name: str
    places: tuple[str, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    edits: tuple[tuple[str, str, Any], ...] = ()
    training: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture of transformers.

    Attributes:
        name: For the table.
        model: Class of the model.
        config: Class of its configuration.
        sizes: Entries of the configuration.
        inputs: Keyword arguments to run it on.
        changes: What is changed.
        images: Whether it takes images, so that memory formats matter.
    """

    name: str
    model: str
    config: str
    sizes: Mapping[str, Any]
    inputs: Callable[[], dict[str, torch.Tensor]]
    changes: tuple[Change, ...]
    images: bool = False

    def build(self, change: Change | None = None, **config: Any) -> torch.nn.Module:
        """Returns a new model, changed or not."""
        import transformers

        entries = {**self.sizes, **(change.config if change is not None else {}), **config}
        model: torch.nn.Module = getattr(transformers, self.model)(getattr(transformers, self.config)(**entries))
        for end, name, value in change.edits if change is not None else ():
            for path, module in model.named_modules():
                if path == end or (end and path.endswith(end)):
                    assert hasattr(module, name), f"{path} has no {name}"
                    setattr(module, name, value)
        return model.train(change is not None and change.training)


def _ids() -> torch.Tensor:
    import torch

    return torch.randint(3, 60, (2, 16), generator=torch.Generator().manual_seed(1))


def _image() -> torch.Tensor:
    import torch

    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def _words() -> dict[str, torch.Tensor]:
    return {"input_ids": _ids()}


def _translation() -> dict[str, torch.Tensor]:
    return {"input_ids": _ids(), "decoder_input_ids": _ids()[:, :9]}


def _pixels() -> dict[str, torch.Tensor]:
    return {"pixel_values": _image()}


def _captions() -> dict[str, torch.Tensor]:
    return {"input_ids": _ids(), "pixel_values": _image()}


def _speech() -> dict[str, torch.Tensor]:
    import torch

    generator = torch.Generator().manual_seed(3)
    return {"input_features": torch.randn(2, 16, 40, generator=generator), "decoder_input_ids": _ids()[:, :9]}


def _rope(theta: float) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": theta}}


def _clip(text: Mapping[str, Any] | None = None, vision: Mapping[str, Any] | None = None) -> dict[str, Any]:
    towers = {**SIZES, "projection_dim": 16, "hidden_act": "quick_gelu"}
    return {
        "text_config": {**towers, "eos_token_id": 2, **(text or {})},
        "vision_config": {**towers, "image_size": 32, "patch_size": 8, **(vision or {})},
        "projection_dim": 16,
    }


LINEAR = {"rope_parameters": {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}}


def _decoder(norm: str, eps: str) -> tuple[Change, ...]:
    """What all decoders in the manner of Llama have in common."""
    return (
        Change("epsilon", (f"model.layers.0.{norm}",), {eps: 1e-4}),
        Change("base of the rotary table", ("model.rotary_emb",), _rope(500_000.0)),
        Change("linear scaling of positions", ("model.rotary_emb",), LINEAR),
        Change("scale of attention", ("model.layers.0.self_attn",), edits=((".self_attn", "scaling", 0.5),)),
        Change("epsilon of the last norm", ("model.norm",), edits=(("model.norm", "variance_epsilon", 1e-2),)),
    )


FAMILIES: tuple[Family, ...] = (
    Family(
        "llama",
        "LlamaForCausalLM",
        "LlamaConfig",
        GROUPED,
        _words,
        (
            *_decoder("input_layernorm", "rms_norm_eps"),
            Change("causal no more", ("model.layers.0.self_attn",), edits=((".self_attn", "is_causal", False),)),
            Change("activation", ("model.layers.0.mlp.act_fn",), {"hidden_act": "gelu"}),
            Change(
                "number of heads", ("model.rotary_emb",), {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
            ),
        ),
    ),
    Family(
        "mistral",
        "MistralForCausalLM",
        "MistralConfig",
        {**GROUPED, "sliding_window": 8},
        _words,
        (
            *_decoder("input_layernorm", "rms_norm_eps"),
            Change("window", ("model", "model.layers.0.self_attn"), {"sliding_window": 4}),
            Change("no window", ("model", "model.layers.0.self_attn"), {"sliding_window": None}),
            Change("activation", ("model.layers.0.mlp.act_fn",), {"hidden_act": "relu"}),
        ),
    ),
    Family(
        "qwen2",
        "Qwen2ForCausalLM",
        "Qwen2Config",
        {**SIZES, "num_key_value_heads": 4},
        _words,
        (
            *_decoder("input_layernorm", "rms_norm_eps"),
            Change("causal no more", ("model.layers.0.self_attn",), edits=((".self_attn", "is_causal", False),)),
            Change("activation", ("model.layers.0.mlp.act_fn",), {"hidden_act": "gelu_new"}),
        ),
    ),
    Family(
        "gemma2",
        "Gemma2ForCausalLM",
        "Gemma2Config",
        {**GROUPED, "sliding_window": 8, "attn_implementation": "eager"},
        _words,
        (
            Change("epsilon", ("model.layers.0.input_layernorm",), {"rms_norm_eps": 1e-4}),
            Change("scale of attention", ("model.layers.0.self_attn",), {"query_pre_attn_scalar": 64}),
            Change("cap of the scores", ("model.layers.0.self_attn",), {"attn_logit_softcapping": 1.0}),
            Change("cap of the logits", ("",), {"final_logit_softcapping": 2.0}),
            Change("activation", ("model.layers.0.mlp.act_fn",), {"hidden_activation": "gelu"}),
            Change("window", ("model", "model.layers.0.self_attn"), {"sliding_window": 4}),
        ),
    ),
    Family(
        "gpt2",
        "GPT2LMHeadModel",
        "GPT2Config",
        {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
        _words,
        (
            Change("epsilon", ("transformer.h.0.ln_1",), {"layer_norm_epsilon": 1e-3}),
            Change("activation", ("transformer.h.0.mlp.act",), {"activation_function": "gelu"}),
            Change("number of heads", ("transformer.h.0.attn",), {"n_head": 8}),
            Change("scores not scaled", ("transformer.h.0.attn",), {"scale_attn_weights": False}),
            Change("scaled by the layer", ("transformer.h.1.attn",), {"scale_attn_by_inverse_layer_idx": True}),
            Change("dropout on", ("transformer.drop",), training=True),
        ),
    ),
    Family(
        "opt",
        "OPTForCausalLM",
        "OPTConfig",
        {**SIZES, "ffn_dim": 64, "word_embed_proj_dim": 32},
        _words,
        (
            Change("activation", ("model.decoder.layers.0.activation_fn",), {"activation_function": "gelu"}),
            Change("number of heads", ("model.decoder.layers.0.self_attn",), {"num_attention_heads": 2}),
            Change("norm after, not before", ("model.decoder.layers.0",), edits=(("layers.0", "do_layer_norm_before", False),)),
            Change("scale of attention", ("model.decoder.layers.1.self_attn",), edits=(("layers.1.self_attn", "scaling", 1.0),)),
            Change("epsilon", ("model.decoder.final_layer_norm",), edits=(("decoder.final_layer_norm", "eps", 1e-2),)),
        ),
    ),
    Family(
        "bloom",
        "BloomForCausalLM",
        "BloomConfig",
        {"vocab_size": 64, "hidden_size": 32, "n_layer": 2, "n_head": 4},
        _words,
        (
            Change("epsilon", ("transformer.word_embeddings_layernorm",), {"layer_norm_epsilon": 1e-3}),
            Change("residual after the norm", ("transformer.h.0",), {"apply_residual_connection_post_layernorm": True}),
            Change("number of heads", ("transformer", "transformer.h.0.self_attention"), {"n_head": 8}),
            Change(
                "scale of attention", ("transformer.h.0.self_attention",), edits=((".self_attention", "inv_norm_factor", 1.0),)
            ),
            Change("weight of the biases", ("transformer.h.1.self_attention",), edits=(("h.1.self_attention", "beta", 0.5),)),
        ),
    ),
    Family(
        "gpt_neox",
        "GPTNeoXForCausalLM",
        "GPTNeoXConfig",
        {**SIZES, "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5}},
        _words,
        (
            Change("epsilon", ("gpt_neox.layers.0.input_layernorm",), {"layer_norm_eps": 1e-3}),
            Change("activation", ("gpt_neox.layers.0.mlp.act",), {"hidden_act": "relu"}),
            Change("not in parallel", ("gpt_neox.layers.0",), {"use_parallel_residual": False}),
            Change(
                "base of the rotary table",
                ("gpt_neox.rotary_emb",),
                {"rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5}},
            ),
            Change(
                "share that is rotated",
                ("gpt_neox.rotary_emb",),
                {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0}},
            ),
        ),
    ),
    Family(
        "bert",
        "BertForSequenceClassification",
        "BertConfig",
        SIZES,
        _words,
        (
            Change("epsilon", ("bert.embeddings.LayerNorm",), {"layer_norm_eps": 1e-3}),
            Change("activation", ("bert.encoder.layer.0.intermediate.intermediate_act_fn",), {"hidden_act": "gelu_new"}),
            Change("number of heads", ("bert.encoder.layer.0.attention.self",), {"num_attention_heads": 2}),
            Change(
                "epsilon of one norm",
                ("bert.encoder.layer.1.output.LayerNorm",),
                edits=(("layer.1.output.LayerNorm", "eps", 1e-2),),
            ),
            Change("dropout on", ("bert.embeddings.dropout",), training=True),
        ),
    ),
    Family(
        "t5",
        "T5ForConditionalGeneration",
        "T5Config",
        {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
        _translation,
        (
            Change("epsilon", ("encoder.block.0.layer.0.layer_norm",), {"layer_norm_epsilon": 1e-3}),
            Change("activation", ("encoder.block.0.layer.1.DenseReluDense.act",), {"feed_forward_proj": "gelu"}),
            Change("farthest position", ("encoder.block.0.layer.0.SelfAttention",), {"relative_attention_max_distance": 17}),
            Change("scale of the last state", ("",), edits=(("", "model_dim", 512),)),
            Change("dropout on", ("encoder.dropout",), training=True),
            Change(
                "epsilon of the decoder",
                ("decoder.final_layer_norm",),
                edits=(("decoder.final_layer_norm", "variance_epsilon", 1e-2),),
            ),
        ),
    ),
    Family(
        "vit",
        "ViTForImageClassification",
        "ViTConfig",
        {**SIZES, "image_size": 32, "patch_size": 8},
        _pixels,
        (
            Change("epsilon", ("vit.layers.0.layernorm_before",), {"layer_norm_eps": 1e-3}),
            Change("activation", ("vit.layers.0.mlp.activation_fn",), {"hidden_act": "relu"}),
            Change("number of heads", ("vit.layers.0.attention",), {"num_attention_heads": 2}),
            Change("scale of attention", ("vit.layers.1.attention",), edits=(("layers.1.attention", "scaling", 1.0),)),
            Change("epsilon of the last norm", ("vit.layernorm",), edits=(("vit.layernorm", "eps", 1e-2),)),
        ),
        images=True,
    ),
    Family(
        "clip",
        "CLIPModel",
        "CLIPConfig",
        _clip(),
        _captions,
        (
            Change("GELU for QuickGELU", ("text_model.encoder.layers.0.mlp.activation_fn",), _clip(text={"hidden_act": "gelu"})),
            Change(
                "the same in images", ("vision_model.encoder.layers.0.mlp.activation_fn",), _clip(vision={"hidden_act": "gelu"})
            ),
            Change("epsilon", ("vision_model.pre_layrnorm",), _clip(vision={"layer_norm_eps": 1e-3})),
            Change("number of heads", ("text_model.encoder.layers.0.self_attn",), _clip(text={"num_attention_heads": 2})),
            Change("end of the text", ("text_model",), _clip(text={"eos_token_id": 7})),
            Change(
                "scale of attention",
                ("vision_model.encoder.layers.1.self_attn",),
                edits=(("vision_model.encoder.layers.1.self_attn", "scale", 1.0),),
            ),
        ),
        images=True,
    ),
    Family(
        "whisper",
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        {
            "vocab_size": 64,
            "num_mel_bins": 16,
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            "max_source_positions": 20,
            "max_target_positions": 32,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 1,
        },
        _speech,
        (
            Change("activation", ("model.encoder.layers.0.activation_fn",), {"activation_function": "relu"}),
            Change(
                "scale between the halves",
                ("model.decoder.layers.1.encoder_attn",),
                edits=(("decoder.layers.1.encoder_attn", "scaling", 1.0),),
            ),
            Change("number of heads", ("model.encoder.layers.0.self_attn",), {"encoder_attention_heads": 2}),
            Change(
                "scale of attention",
                ("model.decoder.layers.0.self_attn",),
                edits=(("decoder.layers.0.self_attn", "scaling", 1.0),),
            ),
            Change(
                "causal no more",
                ("model.decoder.layers.0.self_attn",),
                edits=(("decoder.layers.0.self_attn", "is_causal", False),),
            ),
            Change("epsilon", ("model.decoder.layer_norm",), edits=(("model.decoder.layer_norm", "eps", 1e-2),)),
        ),
    ),
    Family(
        "convnext",
        "ConvNextForImageClassification",
        "ConvNextConfig",
        {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2, "image_size": 32, "layer_scale_init_value": 0.5},
        _pixels,
        (
            Change("activation", ("convnext.encoder.stages.0.layers.0.act",), {"hidden_act": "relu"}),
            Change("epsilon", ("convnext.embeddings.layernorm",), edits=(("convnext.embeddings.layernorm", "eps", 1e-2),)),
            Change("epsilon of the last norm", ("convnext.layernorm",), {"layer_norm_eps": 1e-3}),
            Change(
                "padding",
                ("convnext.encoder.stages.0.layers.0.dwconv",),
                edits=(("stages.0.layers.0.dwconv", "dilation", (3, 3)), ("stages.0.layers.0.dwconv", "padding", (9, 9))),
            ),
        ),
        images=True,
    ),
)
