"""How bad it is that a pickle names something: harmless data, unknown, or known to run, read, write or fetch things.

What tensors and plain data need never comes here. Everything else is judged by where it lives, because the ways to run something
through the standard library cannot be listed: what is called there is dangerous unless it only holds data. Of torch and numpy,
classes of modules and optimizers and functions that rebuild values are data; other functions are not for a file to call.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from itertools import islice
from typing import Literal

from intact.core.description import ForeignName

SHOWN_LIMIT = 20
"""Most names that the evidence of an error lists."""

Grade = Literal["data", "unknown", "dangerous"]

_FORMER_NAMES = """
    __builtin__ builtins test lib2to3 idlelib distutils imp asynchat asyncore smtpd commands popen2 cgi pipes nt posix nturl2path
    msilib nis ossaudiodev spwd crypt telnetlib uu xdrlib urllib2 httplib
"""
_FORMER = frozenset(_FORMER_NAMES.split())
_STANDARD = frozenset(sys.stdlib_module_names) | _FORMER
"""Modules of the standard library, of this release and of earlier ones."""

_OUTSIDER_NAMES = """
    pip setuptools pkg_resources distutils requests urllib3 httpx aiohttp websockets paramiko fabric invoke sh pexpect ptyprocess
    plumbum dill cloudpickle IPython ipykernel jupyter_client pytest _pytest nose cffi docker boto3 botocore psutil execnet
    twisted tornado werkzeug flask jinja2 mako yaml
"""
_OUTSIDERS = frozenset(_OUTSIDER_NAMES.split())
"""Other people's packages whose functions run programs, load code or talk to the network."""

_DATA = re.compile(
    r"argparse\.Namespace|(?:_?collections|UserDict|UserList|UserString)\.\w+|datetime\.\w+|_?decimal\.\w+|fractions\.Fraction"
    r"|uuid\.(?:UUID|SafeUUID)|pathlib\.(?:_local\.)?(?:Pure)?(?:Posix|Windows)?Path|enum\.\w+|types\.(?:SimpleNamespace|NoneType)"
    r"|array\.(?:array|_array_reconstructor)|_?random\.Random|re\._compile|_?sre\.compile|ipaddress\.\w+|zoneinfo\.ZoneInfo(?:\._unpickle)?"
    r"|copyreg\.\w+|copy_reg\.\w+|typing\.\w+|inspect\.(?:_empty|Parameter|Signature|_ParameterKind)|dataclasses\.\w+|string\.Template"
    r"|(?:builtins|__builtin__)\.(?:object|type|str|int|float|bool|bytes|bytearray|complex|list|tuple|dict|set|frozenset|slice|range"
    r"|unicode|long|basestring|xrange|NoneType|Ellipsis|NotImplemented|[A-Z]\w*(?:Error|Exception|Warning))"
    r"|numpy\.(?:random\.(?:_pickle|mtrand|bit_generator)\.\w+|random\.\w+|ma\.core\.\w+|(?:_?core|_core)\.\w+\.(?:_reconstruct|scalar|_frombuffer|"
    r"_ufunc_reconstruct|_unpickle\w*|void|record|recarray|memmap|ndarray|dtype\w*|str_|bytes_|object_)|dtypes?\.\w+|[a-z]\w*\d*_?|matrix)"
    r"|(?:[\w.]+\.)?joblib\.numpy_pickle\.NumpyArrayWrapper"
    r"|torch\.(?:nn|optim|ao|quantization|distributions|distributed\.(?:checkpoint|_shard|_?tensor|device_mesh\.DeviceMesh|_mesh_layout\._\w+"
    r"|fsdp\.\w*flat_param|remote_device\._remote_device)|_C|_utils|_tensor"
    r"|storage|serialization\._get_layout|device|Size|dtype|Generator|jit\._pickle|utils\.data\.(?:dataset|dataloader|sampler)"
    r"|optim\.lr_scheduler|cuda\.amp|amp|types|package\._mangling|sparse)\b[\w.]*"
)
"""Names that hold data, or are classes of models and optimizers that intact reads as records."""

_REFERRED = re.compile(
    r"(?:os|posix|nt|subprocess|pty|commands|popen2|shutil|socket|ctypes|_ctypes|marshal|runpy|importlib|imp|code|codeop|webbrowser"
    r"|_winapi|multiprocessing|signal|pip|pydoc|pkgutil|timeit|bdb|pdb|cProfile|profile|trace)\..+"
    r"|(?:builtins|__builtin__)\.(?:eval|exec|execfile|compile|open|__import__|input|breakpoint|globals|locals|vars|setattr|delattr)"
    r"|(?:sys)\.(?:modules|setprofile|settrace|_getframe|path|meta_path)"
)
"""What an honest file has no reason to mention even without calling it."""

_HARMLESS_CALLS = re.compile(
    r"_?functools\.partial|(?:builtins|__builtin__)\.(?:getattr|print|len|id|hash|repr|sorted|sum|min|max|abs|iter|map|zip|filter|enumerate|super"
    r"|property|staticmethod|classmethod|callable|isinstance|hasattr|reversed|any|all|round)|_?operator\.(?:getitem|itemgetter|add|mul|sub|"
    r"truediv|neg)|logging\.(?:Logger|getLogger|RootLogger)|_thread\.RLock|_?itertools\.\w+|_?weakref\.\w+|math\.\w+|abc\.\w+|"
    r"_abc\._abc_data|io\.(?:BytesIO|StringIO)|_io\.(?:BytesIO|StringIO)|tempfile\.SpooledTemporaryFile|time\.struct_time|queue\.\w+"
)
"""Parts of the standard library that run nothing by themselves and that real checkpoints call: unknown, not dangerous."""

_DUNDER = re.compile(r"__\w+__")
_PLAIN_DUNDERS = frozenset({"__main__", "__builtin__", "__newobj__", "__newobj_ex__", "__future__", "__mp_main__"})
_FUNCTION = re.compile(r"_*[a-z]\w*")
_OF_TORCH = re.compile(r"(?:torch|numpy|functorch|torchvision|torchaudio|caffe2)\..+")


def dangers_of(names: Iterable[ForeignName]) -> dict[str, dict[str, int]]:
    """Returns what some names would do harm by, with positions, as evidence for an error; nothing where there is none."""
    found = {name.name: name.position for name in names if grade(name.name, called=name.called) == "dangerous"}
    return {"dangers": dict(islice(found.items(), SHOWN_LIMIT))} if found else {}


def grade(name: str, *, called: bool) -> Grade:
    """Returns how bad it is that a pickle names something.

    Args:
        name: `module.attribute`, as the pickle writes it.
        called: Whether unpickling would call it.
    """
    parts = name.split(".")
    if any(_DUNDER.fullmatch(part) and part not in _PLAIN_DUNDERS for part in parts):
        return "dangerous"
    if "__main__" in parts[1:] or _REFERRED.fullmatch(name):
        return "dangerous"
    if _DATA.fullmatch(name):
        return "data"
    if not called or _HARMLESS_CALLS.fullmatch(name):
        return "unknown"
    if parts[0] in _STANDARD or parts[0] in _OUTSIDERS:
        return "dangerous"
    if _OF_TORCH.fullmatch(name) and _FUNCTION.fullmatch(parts[-1]):
        return "dangerous"
    return "unknown"
