"""Reports made by hand, one for each verdict and each turn that a report's text takes."""

from __future__ import annotations

from intact.core.description import Description, Extra, ForeignName, Integrity, ModuleInfo, Source, Writer
from intact.core.finding import Example, Finding
from intact.core.plan import Plan
from intact.core.report import Report, Target
from intact.core.tensor import TensorInfo
from intact.core.wording import LOSS_FREE
from intact.repairs.cast import Cast
from intact.repairs.keep import Keep
from intact.repairs.rename import Rename
from intact.repairs.unnest import Unnest

ESCAPE = "\x1b]0;owned\x07"
"""What would change the title of a terminal that obeys it."""


def source(path: str = "model.pth", container: str = "torch-zip", checked: int = 0) -> Source:
    """Returns the head of a checkpoint of 44.7 MiB."""
    return Source(path, container, 46_830_571, (path,), Writer("torch", ">=1.6", "a zip archive"), Integrity("crc32", checked))


def described(*keys: str, nest: str = "", dtype: str = "float32", shape: tuple[int, ...] = (64, 64)) -> Description:
    """Returns a description with equal tensors under the keys."""
    return Description({key: TensorInfo(key, dtype, shape, nest=nest, source=key) for key in keys})


LAYERS = tuple(f"layers.{i}.{name}" for i in range(12) for name in ("attn.weight", "mlp.weight"))


def intact_with_model() -> Report:
    """Everything fits."""
    return Report(
        source(checked=46_000_000), Target("ResNet", 24), matched_keys=24, matched_bytes=393_216, found=described(*LAYERS)
    )


def intact_alone() -> Report:
    """Nothing but the file was looked at."""
    return Report(source(), found=described(*LAYERS))


def prefixed() -> Report:
    """Two loss-free causes, and a note."""
    keys = tuple(f"model.module.{key}" for key in LAYERS)
    unnest = Unnest("model")
    rename = Rename(tuple((f"module.{key}", key) for key in LAYERS))
    nested = Finding(
        "arch/nested-state",
        "error",
        "the weights stand under `model`, beside `epoch`",
        keys,
        cause="a training checkpoint was saved, of which the weights are one entry",
        help=LOSS_FREE,
        step=unnest,
    )
    wrapped = Finding(
        "arch/key-prefix",
        "error",
        f"all 24 keys start with `module.`, and the model has the same 24 without it: `module.{LAYERS[0]}`",
        tuple(f"module.{key}" for key in LAYERS),
        examples=tuple(
            Example(f"module.{key}  float32 [64, 64]", f"{key}  float32 [64, 64]") for key in (LAYERS[0], LAYERS[1], LAYERS[2])
        ),
        cause="the model was wrapped in DataParallel when it was saved",
        help=LOSS_FREE,
        step=rename,
    )
    note = Finding("dtype/widening", "info", "24 tensors are half precision in the file, and the model keeps them in float32")
    plan = Plan((("arch/nested-state", unnest), ("arch/key-prefix", rename)))
    found = described(*keys, nest="model")
    return Report(source(), Target("ResNet", 24), (nested, wrapped, note), plan, 24, 393_216, found)


def resized() -> Report:
    """A loss that has to be allowed, and one that is measured."""
    keep = Keep((("fc.weight", "float32", (10, 64)), ("fc.bias", "float32", (10,))))
    cast = Cast(tuple((key, "float16") for key in LAYERS), lossless=False)
    head = Finding(
        "arch/resized-head",
        "error",
        "`fc.weight` has 1,000 rows in the file and 10 in the model",
        ("fc.weight", "fc.bias"),
        examples=(Example("fc.weight  float32 [1000, 64]  (990 not used)", "fc.weight  float32 [10, 64]"),),
        cause="the model is built for another number of classes",
        help='2 tensors keep fresh values; if that is meant, say so with allow=["arch/resized-head"]',
        step=keep,
    )
    half = Finding(
        "dtype/overflow", "error", "3 of 98,304 values do not fit float16", LAYERS, {"largest": float("inf")}, step=cast
    )
    plan = Plan((("arch/resized-head", keep), ("dtype/overflow", cast)))
    found = described(*LAYERS, "fc.weight", "fc.bias")
    return Report(source(), Target("ResNet", 26), (head, half), plan, 0, 0, found)


def incompatible() -> Report:
    """Nothing loads it; keys are named in exact groups, and there are too many groups for all."""
    missing = Finding("arch/missing-key", "error", f"24 keys of the model are not in the file: `{LAYERS[0]}`", LAYERS)
    odd = tuple(f"block{letter}.conv.weight" for letter in "abcdefgh")
    unexpected = Finding(
        "arch/unexpected-key",
        "error",
        f"8 keys of the file are not in the model: `{odd[0]}`",
        odd,
        examples=tuple(Example(f"{key}  float32 [64, 64]") for key in odd[:3]),
    )
    plan = Plan((("arch/nested-state", Unnest("model")),))
    return Report(source(), Target("ResNet", 24), (missing, unexpected), plan, 0, 0, described(*odd))


def damaged() -> Report:
    """A file that could not be opened."""
    finding = Finding(
        "file/truncated",
        "error",
        "the header needs bytes up to 9,000, and the file ends at 4,096: 4,904 are missing",
        evidence={"needed_bytes": 9000},
        help="copy or download it again",
    )
    return Report(Source("model.safetensors", "", 4096), findings=(finding,))


def suspect() -> Report:
    """A warning alone."""
    finding = Finding(
        "state/ema-present", "warning", "the file holds averaged weights under `ema` beside these", cause="training kept both"
    )
    return Report(source(), Target("ResNet", 24), (finding,), Plan(), 24, 393_216, described(*LAYERS))


def hostile() -> Report:
    """Names that a terminal would obey, that reorder a line, or that never end."""
    key = f"layer{ESCAPE}\u202e.weight"
    long = "x." * 4000 + "weight"
    finding = Finding(
        "arch/unexpected-key",
        "error",
        f"2 keys of the file are not in the model: `{key}`\nintact: it loads exactly as it is",
        (key, long),
        examples=(Example(f"{key}  float32 [1]"), Example(f"{long}  {ESCAPE}")),
        cause=f"a class {ESCAPE}",
        help=f"{long}",
    )
    found = Description(
        {key: TensorInfo(key, f"f{ESCAPE}", (1,), nest=ESCAPE), long: TensorInfo(long, "float32", (1,))},
        ties=((key, long),),
        modules={ESCAPE: ModuleInfo(ESCAPE, f"evil{ESCAPE}", {"a\n": ESCAPE})},
        extras=(Extra(ESCAPE, "str", f"{ESCAPE}\r\nintact"), Extra("n", "object", long)),
        foreign=(ForeignName(f"os{ESCAPE}", 1, True, 0),),
    )
    head = Source(f"dir/{ESCAPE}\udcff.pth", "torch-zip", 100, (), Writer(ESCAPE, "\x9b31m", "\x1b[2J"), Integrity())
    return Report(head, Target(f"Net{ESCAPE}", 2), (finding,), Plan(), 0, 0, found)


def training() -> Report:
    """A nested training checkpoint: weights, optimizer state, other entries, one tensor under two keys, foreign names."""
    weights = {f"model.{key}": TensorInfo(f"model.{key}", "float32", (64, 64), nest="model") for key in LAYERS}
    head = TensorInfo("model.head.weight", "float32", (64, 64), nest="model")
    states = {
        f"optimizer.state.{i}.{name}": TensorInfo(
            f"optimizer.state.{i}.{name}", "float32", (64, 64), nest=f"optimizer.state.{i}", device="cuda:0"
        )
        for i in range(24)
        for name in ("exp_avg", "exp_avg_sq")
    }
    groups = tuple(Extra(f"optimizer.param_groups[0].{name}", "float", "0.001") for name in ("lr", "eps", "decay", "momentum"))
    others = tuple(Extra(f"args.option_{i}", "int", str(i)) for i in range(18))
    found = Description(
        {**weights, head.key: head, **states},
        ties=(("model.layers.0.attn.weight", head.key),),
        extras=(Extra("epoch", "int", "41"), *groups, *others),
        foreign=(ForeignName("argparse.Namespace", 1, True, 10), ForeignName("numpy.dtype", 3, False, 20)),
    )
    return Report(source("run.ckpt"), found=found)


def pickled_model() -> Report:
    """A pickled module with classes and hyperparameters, its layers alike."""
    linear = "torch.nn.modules.linear.Linear"
    modules = {
        "": ModuleInfo("", "nets.Net", {"width": 64}, children=("layers",)),
        "layers": ModuleInfo("layers", "torch.nn.modules.container.ModuleList"),
        **{
            f"layers.{i}": ModuleInfo(f"layers.{i}", linear, {"in_features": 64, "training": True}) for i in range(4)
        },
        "layers.4": ModuleInfo("layers.4", linear, {"in_features": 64, "training": True, "out_features": 2}),
    }  # fmt: skip
    tensors = {
        f"layers.{i}.{leaf}": TensorInfo(f"layers.{i}.{leaf}", "float32", shape, nest=f"layers.{i}")
        for i in range(5)
        for leaf, shape in (("weight", (64 if i < 4 else 2, 64)), ("bias", (64 if i < 4 else 2,)))
    }
    return Report(source("net.pth"), found=Description(tensors, modules=modules))
