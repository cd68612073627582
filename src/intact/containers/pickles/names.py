"""The allowlist: every name that a pickle may mention without a word, and what a call of it stands for.

Names are looked up in the spelling of today's Python and NumPy; a pickle of Python 2 is translated first, as Python does. What is
not listed is not resolved in any way: it becomes an inert record of the name.
"""

from __future__ import annotations

import re
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

from intact.containers.pickles import plain, tensors
from intact.containers.pickles.values import Builder, GlobalName
from intact.core.dtype import DTYPES

_ELEMENT_TYPES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16",
    "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool",
    "ComplexDouble": "complex128", "ComplexFloat": "complex64",
    "QInt8": "qint8", "QInt32": "qint32", "QUInt8": "quint8", "QUInt4x2": "quint4x2", "QUInt2x4": "quint2x4",
    "Untyped": "uint8", "_Untyped": "uint8",
}  # fmt: skip
_ALIASES = {
    "double": "float64", "float": "float32", "half": "float16", "long": "int64", "int": "int32", "short": "int16",
    "cfloat": "complex64", "cdouble": "complex128", "chalf": "complex32",
}  # fmt: skip
_TYPED = re.compile(r"torch(?:\.\w+)*\.(\w+?)(Storage|Tensor)")
_NEWER_STORAGE = re.compile(r"torch\.(?:cuda\.)?([A-Z]\w*Storage)")
_NEWER_DTYPE = re.compile(r"torch\.((?:b?float|u?int|complex|bits|qu?int)\d\w*)")

_BUILDERS: dict[str, Builder] = {
    "_codecs.encode": plain.encoded,
    "builtins.bytearray": plain.byte_array,
    "builtins.bytes": plain.byte_string,
    "builtins.complex": plain.complex_number,
    "builtins.dict": plain.dictionary,
    "builtins.frozenset": plain.frozen_set,
    "builtins.list": plain.listed,
    "builtins.range": plain.span,
    "builtins.set": plain.set_of,
    "builtins.slice": plain.cut,
    "builtins.tuple": plain.tuple_of,
    "collections.Counter": plain.counter,
    "collections.OrderedDict": plain.ordered,
    "collections.defaultdict": plain.defaulting,
    "copyreg.__newobj__": plain.new_object,
    "copyreg._reconstructor": plain.reconstructed,
    "torch.Size": plain.size,
    "torch._tensor._rebuild_from_type_v2": tensors.subclass,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": tensors.from_other_device,
    "torch._utils._rebuild_meta_tensor_no_storage": tensors.meta,
    "torch._utils._rebuild_nested_tensor": tensors.nested,
    "torch._utils._rebuild_parameter": tensors.parameter,
    "torch._utils._rebuild_parameter_with_state": tensors.parameter_with_state,
    "torch._utils._rebuild_qtensor": tensors.quantized,
    "torch._utils._rebuild_sparse_csr_tensor": tensors.sparse,
    "torch._utils._rebuild_sparse_tensor": tensors.sparse,
    "torch._utils._rebuild_tensor": tensors.rebuilt,
    "torch._utils._rebuild_tensor_v2": tensors.rebuilt,
    "torch._utils._rebuild_tensor_v3": tensors.rebuilt_with_dtype,
    "torch.nn.parameter.Buffer": tensors.old_parameter,
    "torch.nn.parameter.Parameter": tensors.old_parameter,
    "torch.serialization._get_layout": tensors.layout,
    "torch.storage._load_from_bytes": tensors.loaded_from_bytes,
}
_REFERENCE_NAMES = """
    builtins.bool builtins.float builtins.int builtins.object builtins.str
    collections.deque datetime.date datetime.datetime datetime.time datetime.timedelta datetime.timezone
    numpy.core.multiarray._reconstruct numpy.core.multiarray.scalar numpy.core.numeric._frombuffer numpy.dtype numpy.ndarray
    torch.device torch.contiguous_format torch.preserve_format torch.channels_last torch.channels_last_3d
    torch.per_channel_affine torch.per_channel_affine_float_qparams torch.per_channel_symmetric
    torch.per_tensor_affine torch.per_tensor_symmetric
    torch.sparse_coo torch.sparse_csr torch.sparse_csc torch.sparse_bsr torch.sparse_bsc torch.strided
    torch.storage.TypedStorage torch.storage._TypedStorage
"""
_REFERENCES = frozenset(_REFERENCE_NAMES.split())
_NUMPY_SCALARS = re.compile(
    r"numpy\.(bool_?|u?int(8|16|32|64)|float(16|32|64)|complex(64|128)|longlong|intc?|double|single|half)"
)


def resolve(module: str, name: str, protocol: int) -> GlobalName:
    """Returns the record of one name.

    Args:
        module: As the pickle writes it.
        name: As the pickle writes it.
        protocol: Highest protocol that the pickle has declared so far; Python's renamed modules are translated below 3.
    """
    if protocol < 3:
        if (module, name) in NAME_MAPPING:
            module, name = NAME_MAPPING[(module, name)]
        else:
            module = IMPORT_MAPPING.get(module, module)
    if module == "torch.tensor":
        module = "torch._tensor"
    elif module.startswith("numpy._core"):
        module = "numpy.core" + module[11:]
    full = f"{module}.{name}"
    if full in _BUILDERS:
        return GlobalName(full, build=_BUILDERS[full], known=True)
    if full in _REFERENCES or _NUMPY_SCALARS.fullmatch(full):
        return GlobalName(full, known=True)
    if full.startswith("torch."):
        return _of_torch(full)
    return GlobalName(full)


def _of_torch(full: str) -> GlobalName:
    last = full.rpartition(".")[2]
    dtype = _ALIASES.get(last, last)
    if full == f"torch.{last}" and dtype in DTYPES:
        return GlobalName(f"torch.{dtype}", known=True, dtype=dtype)
    if newer := _NEWER_DTYPE.fullmatch(full):
        return GlobalName(full, known=True, dtype=newer[1])
    if full == "torch.Tensor":
        return GlobalName(full, build=tensors.old_tensor, known=True, dtype="float32")
    typed = _TYPED.fullmatch(full)
    if typed and typed[1] in _ELEMENT_TYPES and ".sparse." not in full:
        build = tensors.old_tensor if typed[2] == "Tensor" else None
        return GlobalName(full, build=build, known=True, dtype=_ELEMENT_TYPES[typed[1]])
    if newer := _NEWER_STORAGE.fullmatch(full):
        return GlobalName(full, known=True, dtype=newer[1])
    return GlobalName(full)
