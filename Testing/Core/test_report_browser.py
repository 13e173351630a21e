"""The report in a real browser: silent, alone, every figure visible, in light, in dark and on paper."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Tab, browsing, find_browser
from numpy.typing import NDArray
from PIL import Image
from report_runs import made_run

from PRRTPredictorCore.report.html import write_report

FIGURES = "[...document.querySelectorAll('figure svg, figure img')]"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    if sys.platform == "win32" or find_browser() is None:
        pytest.skip("no Chromium on this machine: install one, or name it in PRRT_TEST_BROWSER")
    run = made_run(tmp_path_factory.mktemp("run") / "run", unfinished={("ct", 1, 2)}, repeats=2)
    return write_report(run).as_uri()


@pytest.fixture(scope="module")
def tab(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    program = find_browser()
    assert program is not None
    with browsing(program, tmp_path_factory.mktemp("profile")) as opened:
        opened.open(address)
        opened.value("document.querySelectorAll('details').forEach(one => one.open = true)")
        yield opened


def pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_nothing_is_complained_of_and_nothing_is_asked_of_the_network(tab: Tab, address: str) -> None:
    tab.picture()
    assert tab.told("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded") == []
    asked = {str(request["request"]["url"]) for request in tab.told("Network.requestWillBeSent")}
    assert address in asked
    assert {url for url in asked if url != address and not url.startswith("data:")} == set()


def test_every_figure_is_there_to_be_seen(tab: Tab) -> None:
    sizes = tab.value(f"{FIGURES}.map(one => [one.getBoundingClientRect().width, one.getBoundingClientRect().height])")
    assert len(sizes) > 8
    assert min(width for width, _ in sizes) > 200
    assert min(height for _, height in sizes) > 80
    empty = f"{FIGURES}.filter(one => one.tagName === 'IMG' ? !one.naturalWidth : !one.querySelector('path')).length"
    assert tab.value(empty) == 0


@pytest.mark.parametrize("width", [1200, 420])
def test_the_page_never_scrolls_sideways(tab: Tab, width: int) -> None:
    tab.resize(width, 900)
    assert tab.value("document.documentElement.scrollWidth") <= width
    tab.resize(1200, 900)


def test_letters_of_figures_can_be_read_on_a_small_screen(tab: Tab) -> None:
    sizes = """[...document.querySelectorAll('figure svg')].flatMap(one => {
      const scale = one.getBoundingClientRect().width / one.viewBox.baseVal.width;
      return [...one.querySelectorAll('text')].map(word => scale * parseFloat(getComputedStyle(word).fontSize)); })"""
    for width in (1200, 420):
        tab.resize(width, 900)
        letters = tab.value(sizes)
        assert len(letters) > 100
        assert min(letters) > (10 if width == 1200 else 7)  # CSS pixels
    tab.resize(1200, 900)


def test_the_contents_are_at_hand_everywhere_on_the_page(tab: Tab) -> None:
    seen = "(one => { const box = one.getBoundingClientRect(); return box.width > 0 && box.top >= 0 && box.right <= "
    for width, shown in ((1500, "#contents"), (1200, ".up"), (420, ".up")):
        tab.resize(width, 900)
        tab.value("window.scrollTo({top: document.body.scrollHeight / 2, behavior: 'instant'})")
        assert tab.value(f"{seen}{width} && box.bottom <= 900; }})(document.querySelector('{shown}'))"), width
    tab.value("window.scrollTo({top: 0, behavior: 'instant'})")
    tab.resize(1200, 900)


def test_light_and_dark_and_paper_are_readable(tab: Tab) -> None:
    light = pixels(tab.picture())
    tab.media("screen", "dark")
    dark = pixels(tab.picture())
    tab.media("print", "dark")
    paper = pixels(tab.picture())
    tab.media()
    assert np.median(light) > 240
    assert np.median(dark) < 60
    assert np.median(paper) > 240
    for shown in (light, dark, paper):
        ground = np.median(shown.reshape(-1, 3), axis=0)
        different = np.abs(shown.astype(np.int16) - ground).max(axis=2) > 100
        assert 0.01 < different.mean() < 0.5
        stripes = np.array_split(different, 12)  # no part of the page is blank
        assert min(stripe.mean() for stripe in stripes) > 0.002


def test_every_word_stands_out_from_its_ground(tab: Tab) -> None:
    contrast = """(() => {
      const light = colour => { const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(value => value / 255)
        .map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const ground = one => { for (; one; one = one.parentElement) {
        const colour = getComputedStyle(one).backgroundColor;
        if (colour !== 'rgba(0, 0, 0, 0)') return colour; } return 'rgb(255, 255, 255)'; };
      const words = [...document.querySelectorAll('h1, h2, h3, p, td, th, li, dt, dd, a, figcaption, summary')];
      return Math.min(...words.filter(one => one.textContent.trim()).map(one => {
        const [a, b] = [light(getComputedStyle(one).color), light(ground(one))];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); })); })()"""
    for scheme in ("light", "dark"):
        tab.media("screen", scheme)
        assert tab.value(contrast) >= 4.5, scheme  # WCAG 2.2, 1.4.3
    tab.media()


def test_it_prints(tab: Tab) -> None:
    assert tab.paper().startswith(b"%PDF-")


def test_the_keyboard_reaches_the_results_first(tab: Tab) -> None:
    key = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
    tab.ask("Page.bringToFront")
    tab.ask("Input.dispatchKeyEvent", type="rawKeyDown", **key)
    assert tab.value("document.activeElement.className") == "skip"
    assert tab.value("document.activeElement.getBoundingClientRect().left") >= 0


def test_landmarks_are_named_and_links_lead_somewhere(tab: Tab) -> None:
    assert tab.value("[...document.querySelectorAll('a[href]')].every(a => document.querySelector(a.hash))")
    assert tab.value("document.querySelectorAll('section:not([aria-labelledby])').length") == 0
    assert tab.value("document.querySelectorAll('main').length") == 1


def test_a_browser_that_is_named_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRRT_TEST_BROWSER", str(tmp_path / "mine"))
    assert find_browser() == str(tmp_path / "mine")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_a_program_that_only_advises_to_install_a_browser_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    advice = tmp_path / "chromium-browser"
    advice.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    advice.chmod(0o755)
    monkeypatch.delenv("PRRT_TEST_BROWSER", raising=False)
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_browser() is None
    advice.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    assert find_browser() == str(advice)
