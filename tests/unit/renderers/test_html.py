"""The HTML report: complete, self-contained, harmless whatever a file is called, and usable in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import intact
from intact.renderers.html import render

CHROMIUM = Path("/usr/bin/chromium")


def net() -> nn.Module:
    """A model with numbered layers."""
    return nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)) for _ in range(4)])


@pytest.fixture
def page(tmp_path: Path) -> str:
    """The page of a checkpoint with a prefix, an infinity and a key of its own."""
    state = net().state_dict()
    state["2.0.weight"][3, 4] = float("inf")
    state["extra.head.weight"] = torch.ones(2, 8)
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "model.pth")
    return render(intact.check(tmp_path / "model.pth", net))


def test_everything_of_the_report_is_on_the_page(page: str) -> None:
    """Verdict, causes, plan, both sides, and every tensor."""
    for text in ("<b>lossy</b>", "arch/key-prefix", "value/inf", "module.", "only in the file", "running_var", "1 not finite"):
        assert text in page, text
    assert page.count('class="leaf"') == 4 * 7 + 1
    assert page.count("<svg") >= 4 * 6


def test_what_loads_from_where_stands_side_by_side(page: str, tmp_path: Path) -> None:
    """Keys under another name with both names; those that agree are folded."""
    assert "28 of 28 keys" in page
    assert re.search(r"<td>module\.0\.0\.weight <span>float32 \[8, 8\]</span></td><td>0\.0\.weight ", page)
    torch.save(net().state_dict(), tmp_path / "same.pth")
    same = render(intact.check(tmp_path / "same.pth", net))
    assert "<details><summary>28 keys as they are</summary>" in same
    assert "under another name" not in same


def test_the_page_asks_for_nothing(page: str) -> None:
    """It is sent by mail and opened where there is no network."""
    assert not re.search(r"(?:src|href)\s*=|@import|url\(|fetch\(|XMLHttpRequest|https?://", page)
    assert "default-src 'none'" in page
    assert page.count("<details") == page.count("</details>")


def test_names_from_a_file_cannot_become_markup(tmp_path: Path) -> None:
    """A key is anybody's text."""
    evil = '<script>alert(1)</script>"onload="x'
    torch.save({evil: torch.ones(2), "a.b<c>": torch.ones(1)}, tmp_path / "x.pth")
    text = render(intact.check(tmp_path / "x.pth"))
    assert "<script>alert" not in text
    assert '"onload=' not in text
    assert "&lt;script&gt;alert" in text


@pytest.fixture
def browser() -> Iterator[Any]:
    """A headless Chromium, where there is one."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.is_file():
        pytest.skip("Chromium is not installed")
    with sync.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_searches_and_folds_it_by_keyboard(scheme: str, page: str, browser: Any, tmp_path: Path) -> None:
    """Without a mouse, in both colour schemes, and without an error."""
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    view = browser.new_page(color_scheme=scheme)
    errors: list[str] = []
    view.on("pageerror", lambda error: errors.append(str(error)))
    view.on("console", lambda message: errors.append(message.text))
    view.goto((tmp_path / "report.html").as_uri())
    assert view.locator("h1").inner_text().endswith("model.pth")
    background = view.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    view.keyboard.press("/")
    view.keyboard.type("running_var")
    assert view.locator("#hits").inner_text() == "4 of 29"
    assert view.locator(".leaf:visible").count() == 4
    view.keyboard.press("Escape")
    assert view.locator("#hits").inner_text() == ""
    view.locator("#tree summary").first.focus()
    view.keyboard.press("Enter")
    assert view.locator(".leaf:visible").count() == 0
    view.locator("#open").focus()
    view.keyboard.press("Enter")
    assert view.locator(".leaf:visible").count() == 29
    assert not view.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert errors == []
