"""The rules, in the order in which explanations of equal merit are preferred: what undoes wrappings first, plain names last.

Beside them the pages: a code that a rule reports has its page in the file of the rule, and a code that is reported while a file
is opened or read has one in a file of its own, which is imported when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from intact.core.rule import Rule
from intact.rules.arch import (
    adapter_only,
    ambiguous_order,
    class_differs,
    custom_loader,
    empty_state,
    flattened,
    folded_batchnorm,
    fused_split,
    hyperparameter_differs,
    key_prefix,
    layer_count,
    lazy_uninitialized,
    missing_key,
    nested_state,
    non_persistent_buffer,
    parametrization,
    quantized,
    renamed_key,
    reshaped,
    resized_head,
    resized_input,
    resized_position,
    resized_vocabulary,
    shape_mismatch,
    source_changed,
    tied_weights,
    transposed,
    unexpected_key,
    unmerged_adapter,
    unregistered_module,
    unregistered_tensor,
    whole_model_pickle,
)
from intact.rules.behaviour import (
    batchnorm_training,
    diverges_at_module,
    dropout_active,
    forward_changes_state,
    nondeterministic,
    not_probed,
    output_differs,
)
from intact.rules.dtype import (
    complex_to_real,
    fp8_without_scale,
    int_float,
    master_weights_present,
    mixed,
    narrowing,
    overflow,
    underflow,
    widening,
)
from intact.rules.file import incomplete_save, missing_shard
from intact.rules.safety import code_execution, unknown_global
from intact.rules.state import (
    aliased_snapshots,
    ema_present,
    frozen_differs,
    optimizer_class,
    optimizer_detached,
    optimizer_groups,
    optimizer_missing,
    optimizer_order,
    optimizer_shape,
    rng_missing,
    scaler_missing,
    scheduler_differs,
    scheduler_missing,
    step_mismatch,
    training_mode,
)
from intact.rules.value import all_zero, denormal, inf, nan, negative_variance, never_loaded, untrained_statistics
from intact.rules.version import (
    device_unavailable,
    legacy_format,
    library_differs,
    metadata_lost,
    missing_class,
    moved_global,
    needs_newer_torch,
    torch_differs,
    weights_only_refused,
)

RULES: tuple[Rule, ...] = (
    empty_state.RULE,
    adapter_only.RULE,
    whole_model_pickle.RULE,
    nested_state.RULE,
    custom_loader.RULE,
    missing_shard.RULE,
    key_prefix.RULE,
    parametrization.RULE,
    quantized.RULE,
    renamed_key.RULE,
    tied_weights.RULE,
    legacy_format.RULE,
    lazy_uninitialized.RULE,
    non_persistent_buffer.RULE,
    unmerged_adapter.RULE,
    folded_batchnorm.RULE,
    flattened.RULE,
    ema_present.RULE,
    incomplete_save.RULE,
    class_differs.RULE,
    ambiguous_order.RULE,
    layer_count.RULE,
    resized_vocabulary.RULE,
    resized_position.RULE,
    transposed.RULE,
    reshaped.RULE,
    fused_split.RULE,
    resized_head.RULE,
    resized_input.RULE,
    needs_newer_torch.RULE,
    widening.RULE,
    complex_to_real.RULE,
    overflow.RULE,
    underflow.RULE,
    int_float.RULE,
    narrowing.RULE,
    shape_mismatch.RULE,
    missing_key.RULE,
    unexpected_key.RULE,
    metadata_lost.RULE,
    missing_shard.OBSERVE,
    ema_present.OBSERVE,
    custom_loader.OBSERVE,
    hyperparameter_differs.OBSERVE,
    code_execution.RULE,
    unknown_global.RULE,
    missing_class.RULE,
    moved_global.RULE,
    weights_only_refused.RULE,
    device_unavailable.RULE,
    nan.OBSERVE,
    inf.RULE,
    denormal.RULE,
    negative_variance.RULE,
    untrained_statistics.RULE,
    all_zero.RULE,
    mixed.RULE,
    master_weights_present.RULE,
    fp8_without_scale.RULE,
    needs_newer_torch.OBSERVE,
    torch_differs.RULE,
    library_differs.RULE,
    aliased_snapshots.RULE,
    optimizer_missing.RULE,
    optimizer_class.RULE,
    optimizer_detached.RULE,
    optimizer_order.RULE,
    optimizer_groups.RULE,
    optimizer_shape.RULE,
    scheduler_missing.RULE,
    scheduler_differs.RULE,
    scaler_missing.RULE,
    rng_missing.RULE,
    step_mismatch.RULE,
    frozen_differs.RULE,
    unregistered_module.AUDIT,
    unregistered_tensor.AUDIT,
    non_persistent_buffer.AUDIT,
    lazy_uninitialized.AUDIT,
    never_loaded.AUDIT,
    nan.AUDIT,
    custom_loader.AUDIT,
    parametrization.AUDIT,
    tied_weights.AUDIT,
    forward_changes_state.AUDIT,
    hyperparameter_differs.RULE,
    diverges_at_module.RULE,
    output_differs.RULE,
    non_persistent_buffer.REPLAY,
    forward_changes_state.REPLAY,
    dropout_active.RULE,
    batchnorm_training.RULE,
    training_mode.RULE,
    nondeterministic.RULE,
    source_changed.RULE,
    not_probed.RULE,
)
"""Every rule, once for each phase it takes part in."""

READER_PAGES: Mapping[str, str] = {
    code: f"intact.rules.{code.replace('/', '.').replace('-', '_')}"
    for code in (
        "arch/not-rebuildable",
        "file/bad-header",
        "file/checksum-mismatch",
        "file/concurrent-writes",
        "file/dangling-link",
        "file/duplicate-entry",
        "file/empty",
        "file/exported-program",
        "file/foreign-format",
        "file/index-mismatch",
        "file/lfs-pointer",
        "file/misnamed-format",
        "file/mixed-shards",
        "file/not-a-checkpoint",
        "file/plain-pickle",
        "file/repacked-archive",
        "file/several-checkpoints",
        "file/storage-bounds",
        "file/text-mode-transfer",
        "file/torchscript-archive",
        "file/trailing-bytes",
        "file/truncated",
        "file/unpacked-archive",
        "file/unsealed",
        "file/web-page",
        "file/wrapped-archive",
        "safety/archive-bomb",
        "safety/path-traversal",
        "value/repeated-block",
        "value/zero-block",
        "version/byte-order",
        "version/python2-strings",
    )
}
"""Code to the module whose docstring is its page, for every code that is reported while a file is opened or read."""


class _Pages(Mapping[str, str]):
    """Code to its page: those of rules are at hand, the others are imported one by one."""

    def __init__(self) -> None:
        self._of_rules = {rule.code: rule.page for rule in RULES}

    def __getitem__(self, code: str) -> str:
        """Returns the page of a code."""
        return self._of_rules[code] if code in self._of_rules else import_module(READER_PAGES[code]).__doc__ or ""

    def __iter__(self) -> Iterator[str]:
        """All codes that have one, those of rules first."""
        return iter((*self._of_rules, *READER_PAGES))

    def __len__(self) -> int:
        """How many codes have one."""
        return len(self._of_rules) + len(READER_PAGES)

    def __contains__(self, code: object) -> bool:
        """Whether a code has one; nothing is imported for it."""
        return code in self._of_rules or code in READER_PAGES


PAGES: Mapping[str, str] = _Pages()
"""Code to its page, for every code that anything reports."""
