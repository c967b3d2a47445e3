# SPDX-License-Identifier: BSD-2-Clause
"""The page in Chromium: a conversation, stop and regenerate, what was measured, three widths, dark and light."""

import os
import re
import shutil
from pathlib import Path

import pytest

import mixpe
from tests.serve.conftest import served

pytestmark = pytest.mark.browser
playwright = pytest.importorskip("playwright.sync_api", reason="make test-browser installs it")

SHOTS  = Path(os.environ.get("MIXPE_SHOTS", "build/browser"))
WIDTHS = ((1280, 800), (820, 1000), (390, 844))
PROMPT = "def read(path):"


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "no Chromium; make test-browser installs it"
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def url():
    with mixpe.LlamaModel.from_pretrained(device="reference") as model:
        with served(model) as (url, _):
            yield url


@pytest.fixture
def page(browser, url, request):
    (width, height), scheme = getattr(request, "param", (WIDTHS[0], "light"))
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda asked: page.said.append(asked.url) if not asked.url.startswith((url, "data:")) else None)
    page.goto(url)
    playwright.expect(page.locator("#model")).to_contain_text("3 layers")
    yield page
    assert page.said == []  # no error, no warning, nothing from another host
    context.close()


def ask(page, text=PROMPT, tokens=40):
    page.fill("#tokens", str(tokens))
    page.fill("#text", text)
    page.press("#text", "Enter")


@pytest.mark.parametrize("page", [(size, scheme) for size in WIDTHS for scheme in ("light", "dark")], indirect=True,
    ids=lambda value: f"{value[0][0]}-{value[1]}")
def test_an_answer_at_every_width(page, request):
    ask(page)
    page.wait_for_selector(".assistant .rate", timeout=60_000)
    assert "40 tokens" in page.inner_text(".assistant .rate")
    playwright.expect(page.locator("#legend li")).to_have_count(4, timeout=20_000)
    shares = [float(text.removesuffix(" %")) for text in page.locator("#legend b").all_inner_texts()]
    assert abs(sum(shares) - 100) < 0.5
    assert "MAC a cycle" in page.inner_text("#reached") and "no measurement" in page.inner_text("#note")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")  # nothing beyond the edge
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS/f"{request.node.callspec.id}.png")


def test_engines_of_the_devices_decoder(browser):
    with mixpe.LlamaModel.from_pretrained(device="sim?decoder=1", decoder="device") as model:
        with served(model) as (url, _):
            page = browser.new_page()
            page.goto(url)
            ask(page, tokens=6)
            page.wait_for_selector(".assistant .rate", timeout=120_000)
            names = page.locator("#legend span")
            playwright.expect(names).to_have_text(["array busy", "vector engine", "attention engine", "none of them"],
                timeout=20_000)
            shares = [float(text.removesuffix(" %")) for text in page.locator("#legend b").all_inner_texts()]
            assert shares[0] > 30 and shares[1] > 10 and shares[2] > 0.5 and sum(shares) > 99.5
            assert "own counters" in page.inner_text("#note")
            page.close()


def test_stop_and_regenerate_by_keyboard(page):
    ask(page, tokens=200)
    page.wait_for_selector(".assistant.running")
    playwright.expect(page.locator(".assistant")).to_contain_text(re.compile(r"\S\S\S"))
    page.keyboard.press("Escape")
    page.wait_for_selector(".assistant:not(.running)")
    assert page.is_enabled("#again") and page.is_disabled("#stop")
    page.fill("#tokens", "12")
    page.press("#again", "Enter")
    page.wait_for_selector(".assistant .rate", timeout=60_000)
    assert "12 tokens" in page.inner_text(".assistant .rate") and page.locator("#messages li").count() == 2
    page.click("#clear")
    assert page.locator("#messages li").count() == 0


def test_an_error_is_shown_and_the_next_message_works(page):
    ask(page, "x"*400)
    playwright.expect(page.locator("#problem")).to_contain_text("context")
    page.said.clear()  # the browser itself logs a refused request
    page.click("#clear")
    ask(page, tokens=8)
    page.wait_for_selector(".assistant .rate", timeout=60_000)
    assert page.inner_text("#problem") == ""
