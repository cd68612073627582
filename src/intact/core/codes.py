"""Every code there is, and what an error of that code means where nothing repairs it.

A code is permanent: other people's tools, ignore lists and `allow=[…]` name it. `incompatible` says that no sensible load exists,
`lossy` that the user's word is needed, `damaged` that bytes are missing or changed, `unsafe` that unpickling would do harm.
"""

from __future__ import annotations

from typing import Literal

Outcome = Literal["lossy", "incompatible", "damaged", "unsafe"]

_DAMAGED = (
    "bad-header checksum-mismatch concurrent-writes dangling-link empty incomplete-save lfs-pointer missing-shard "
    "storage-bounds text-mode-transfer truncated web-page mixed-shards"
)
_FILE = (
    "duplicate-entry exported-program foreign-format index-mismatch misnamed-format not-a-checkpoint plain-pickle "
    "repacked-archive several-checkpoints torchscript-archive trailing-bytes unpacked-archive unsealed wrapped-archive"
)
_ARCH = (
    "adapter-only ambiguous-order class-differs custom-loader empty-state flattened folded-batchnorm fused-split "
    "hyperparameter-differs key-prefix layer-count lazy-uninitialized missing-key nested-state non-persistent-buffer "
    "not-rebuildable parametrization quantized renamed-key reshaped resized-head resized-input resized-position "
    "resized-vocabulary shape-mismatch source-changed tied-weights transposed unexpected-key unmerged-adapter "
    "unregistered-module unregistered-tensor whole-model-pickle"
)
_DTYPE = "complex-to-real fp8-without-scale int-float master-weights-present mixed narrowing overflow underflow widening"
_VALUE = "all-zero denormal inf negative-variance never-loaded repeated-block untrained-statistics zero-block"
_VERSION = (
    "byte-order device-unavailable legacy-format library-differs metadata-lost missing-class moved-global "
    "needs-newer-torch python2-strings torch-differs weights-only-refused"
)
_STATE = (
    "aliased-snapshots ema-present frozen-differs optimizer-class optimizer-detached optimizer-groups optimizer-missing "
    "optimizer-order optimizer-shape rng-missing scaler-missing scheduler-differs scheduler-missing step-mismatch "
    "training-mode"
)
_BEHAVIOUR = (
    "batchnorm-training diverges-at-module dropout-active forward-changes-state nondeterministic not-probed output-differs"
)
_SAFETY = "archive-bomb code-execution path-traversal unknown-global"


def _rows(family: str, names: str, outcome: Outcome) -> dict[str, Outcome]:
    return {f"{family}/{name}": outcome for name in names.split()}


CODES: dict[str, Outcome] = {
    **_rows("file", _DAMAGED, "damaged"),
    **_rows("file", _FILE, "incompatible"),
    **_rows("arch", _ARCH, "incompatible"),
    **_rows("dtype", _DTYPE, "lossy"),
    **_rows("value", _VALUE, "lossy"),
    **_rows("value", "nan", "damaged"),
    **_rows("version", _VERSION, "incompatible"),
    **_rows("state", _STATE, "incompatible"),
    **_rows("behaviour", _BEHAVIOUR, "incompatible"),
    **_rows("safety", _SAFETY, "unsafe"),
}
"""Code to the verdict of an error that no step removes."""


def outcome_of(code: str) -> Outcome:
    """Returns the verdict that an error of this code calls for when no step removes it."""
    return CODES[code]
