"""The rules, in the order in which explanations of equal merit are preferred: what undoes wrappings first, plain names last."""

from __future__ import annotations

from intact.core.rule import Rule
from intact.rules.arch import (
    ambiguous_order,
    class_differs,
    custom_loader,
    empty_state,
    key_prefix,
    layer_count,
    lazy_uninitialized,
    missing_key,
    nested_state,
    non_persistent_buffer,
    resized_head,
    resized_input,
    resized_position,
    resized_vocabulary,
    shape_mismatch,
    tied_weights,
    unexpected_key,
    whole_model_pickle,
)
from intact.rules.dtype import complex_to_real, int_float, narrowing, overflow, underflow, widening
from intact.rules.safety import unknown_global
from intact.rules.state import ema_present
from intact.rules.version import legacy_format

RULES: tuple[Rule, ...] = (
    empty_state.RULE,
    whole_model_pickle.RULE,
    nested_state.RULE,
    custom_loader.RULE,
    key_prefix.RULE,
    tied_weights.RULE,
    legacy_format.RULE,
    lazy_uninitialized.RULE,
    non_persistent_buffer.RULE,
    ema_present.RULE,
    class_differs.RULE,
    ambiguous_order.RULE,
    layer_count.RULE,
    resized_vocabulary.RULE,
    resized_position.RULE,
    resized_head.RULE,
    resized_input.RULE,
    widening.RULE,
    complex_to_real.RULE,
    overflow.RULE,
    underflow.RULE,
    int_float.RULE,
    narrowing.RULE,
    shape_mismatch.RULE,
    missing_key.RULE,
    unexpected_key.RULE,
    ema_present.OBSERVE,
    unknown_global.RULE,
)
"""Every rule, once for each phase it takes part in."""

PAGES: dict[str, str] = {rule.code: rule.page for rule in RULES}
"""Code to its page, for every code that a rule reports."""
