"""The text of a comparison: one line for each thing, the gravest first, and nothing in it that a terminal would obey."""

from __future__ import annotations

import json
from dataclasses import replace

from intact.core.environment import Distribution, Environment, Settings
from intact.environments import CONSEQUENCES, compare_environments
from intact.renderers.environment import WORDS, bug_report, plain, render, render_one, summary, to_dict, worst
from intact.renderers.words import clean

RECORDED = Environment(
    python="3.11.7",
    implementation="CPython",
    machine="x86_64",
    torch="2.11.0+cu128",
    devices=("NVIDIA H100",) * 8,
    settings=Settings("float32", "on", False, False, "highest", "none", "tf32", 8),
    distributions=(Distribution("timm", "1.0.9", ("timm",), ("timm.Net",), "index"),),
)
HERE = replace(
    RECORDED,
    python="3.11.9",
    torch="2.13.0",
    devices=(),
    settings=Settings("float32", "off", False, False, "highest", "none", "tf32", 8),
    distributions=(),
)


def test_everything_that_is_recorded_has_one_line_the_gravest_first() -> None:
    """A reader who stops after three lines has read what matters."""
    text = render("m.safetensors", RECORDED, HERE)
    lines = compare_environments(RECORDED, HERE)
    table = text.splitlines()[2 : 2 + len(lines)]
    words = [next(word for word in WORDS.values() if row.strip().startswith(word + " ")) for row in table]
    assert words == sorted(words, key=list(WORDS.values()).index)
    assert all(sum(f"  {line.name}  " in row for row in table) == 1 for line in lines)
    assert table[0].split() == ["cannot", "load", "timm", "1.0.9", "not", "installed", "it", "provides", "timm.Net"]
    assert "8 x NVIDIA H100" in text


def test_the_counts_add_up() -> None:
    """The one line of `--quiet` is their sum."""
    said = summary("m.safetensors", RECORDED, HERE)
    assert said.startswith("m.safetensors: 1 cannot load, ")
    numbers = [int(part.split()[0]) for part in said.partition(": ")[2].split(", ")]
    assert sum(numbers) == len(compare_environments(RECORDED, HERE))
    assert said.partition(": ")[2] in render("m.safetensors", RECORDED, HERE)


def test_settings_of_another_process_are_called_that() -> None:
    """The command's own process has made no settings at all."""
    assert "settings are those of this process" in render("m", RECORDED, HERE)
    assert "settings are those" not in render("m", RECORDED, replace(HERE, settings=RECORDED.settings))


def test_texts_of_the_record_are_harmless_and_short() -> None:
    """Whoever makes a file writes them."""
    hostile = replace(
        RECORDED, torch="\x1b[2J2", distributions=(Distribution("a\nb\u202e", "v" * 300, classes=("\x1b]0;x\x07" * 20,)),)
    )
    for text in (render("\x1b.st", hostile, HERE), summary("\x1b.st", hostile, HERE), render_one(hostile)):
        assert all(line == clean(line) for line in text.splitlines())
    assert max(map(len, render("m", hostile, HERE).splitlines())) < 300


def test_colours_are_drawn_where_they_are_wanted_and_change_no_word() -> None:
    """The same lines with and without."""
    import re

    painted = render("m", RECORDED, HERE, color=True)
    assert "\x1b[" in painted
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == render("m", RECORDED, HERE)


def test_the_data_hold_both_environments_and_every_line() -> None:
    """Programs decide by `consequence`, and can compare for themselves."""
    data = json.loads(json.dumps(to_dict("m", RECORDED, HERE)))
    assert Environment.from_json(json.dumps(data["recorded"])) == RECORDED
    assert plain(HERE) == to_dict("m", RECORDED, HERE)["current"]
    assert {line["consequence"] for line in data["lines"]} <= set(CONSEQUENCES)
    assert data["lines"][0] == {
        "name": "torch",
        "kind": "distribution",
        "recorded": "2.11.0+cu128",
        "current": "2.13.0",
        "consequence": "may-change-outputs",
        "reason": "a newer release",
    }


def test_the_worst_of_all_lines_decides() -> None:
    """It is what the exit status says."""
    assert worst(compare_environments(RECORDED, HERE)) == "cannot-load"
    assert worst(compare_environments(RECORDED, RECORDED)) == "equal"
    assert worst(()) == "equal"


def test_one_environment_shows_what_is_known_and_nothing_else() -> None:
    """An empty line would be read as a fault."""
    text = render_one(RECORDED)
    assert "torch" in text
    assert "libc" not in text
    assert render_one(Environment()) != ""


def test_a_bug_report_is_one_block_that_can_be_pasted() -> None:
    """With versions, the settings of this process, and what torch collects."""
    text = bug_report(RECORDED, {"intact": "0.1.0", "numpy": ""}, "PyTorch version: 2.11\n")
    assert text.startswith("```text\n")
    assert text.endswith("\n```")
    assert "intact: 0.1.0\nnumpy: not installed" in text
    assert "PyTorch version: 2.11" in text
    assert "deterministic algorithms: on" in text
