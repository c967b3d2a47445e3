# SPDX-License-Identifier: BSD-2-Clause
"""The page in Chromium: a conversation, stop and regenerate, what was measured, three widths, dark and light.

Figures are of the simulated SoC with its own decoder; the reference device measures nothing, and the page says so.
"""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

import mixpe
from mixpe.serve import figures
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


@pytest.fixture(scope="module")
def simulated():
    """URL of a server over the simulated SoC with its own decoder."""
    with mixpe.LlamaModel.from_pretrained(device="sim?decoder=1", decoder="device") as model:
        with served(model) as (url, _):
            yield url


def hold(page, status=None, message="", pieces=0):
    """The server's next answer: after some pieces it does not end, or it is an error."""
    page.add_init_script(f"const held = {json.dumps([status, message, pieces])};" + """
        const real = window.fetch;
        window.bodies = [];
        window.fetch = (path, options) => {
          if (path === "/stats" || window.free) return real(path, options);
          window.bodies.push(JSON.parse(options.body));
          const [status, message, pieces] = held;
          if (status) return Promise.resolve(new Response(message, {status}));
          const text = `data: ${JSON.stringify({choices: [{text: "abc"}]})}\n\n`;
          return Promise.resolve(new Response(new ReadableStream({start(control) {
            for (let count = 0; count < pieces; count++) control.enqueue(new TextEncoder().encode(text));
            options.signal.addEventListener("abort", () => control.error(new DOMException("", "AbortError")));
          }})));
        };""")
    page.reload()
    playwright.expect(page.locator("#model")).to_contain_text("3 layers")


@pytest.mark.parametrize("page", [(size, scheme) for size in WIDTHS for scheme in ("light", "dark")], indirect=True,
    ids=lambda value: f"{value[0][0]}-{value[1]}")
def test_an_answer_at_every_width(page, request):
    ask(page)
    page.wait_for_selector(".assistant .rate", timeout=60_000)
    assert "40 tokens" in page.inner_text(".assistant .rate")
    playwright.expect(page.locator("#rates")).to_contain_text("tokens a second", timeout=20_000)
    assert "measures nothing" in page.inner_text("#note")
    for text in ("cycle", "peak of", "link", "memory, of", "Roofline"):  # of a device that only computes
        assert text.lower() not in page.inner_text("aside").replace(page.inner_text("#note"), "").lower(), text
    assert page.is_hidden("#cycles") and page.is_hidden("#roofline")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")  # nothing beyond the edge
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS/f"{request.node.callspec.id}.png")


def test_what_the_simulated_device_measured(browser, simulated, monkeypatch):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(simulated)
    playwright.expect(page.locator("#model")).to_contain_text("3 layers")
    assert page.is_hidden("#cycles") and page.is_hidden("#roofline")  # nothing yet
    ask(page, tokens=24)
    page.wait_for_selector(".assistant .rate", timeout=240_000)
    names = page.locator("#legend span")
    playwright.expect(names).to_have_text(["array busy", "vector engine", "attention engine", "none of them"],
        timeout=20_000)
    shares = [float(text.removesuffix(" %")) for text in page.locator("#legend b").all_inner_texts()]
    assert shares[0] > 30 and shares[1] > 10 and shares[2] > 0.5 and sum(shares) > 99.5
    rates = page.inner_text("#rates")
    assert all(name in rates for name in ("device cycles a token", "memory, of its peak", "link a token"))
    assert "MAC a cycle" in page.inner_text("#reached") and "own counters" in page.inner_text("#note")
    playwright.expect(page.locator("#rates dd").first).to_have_text("0")  # answering
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS/"simulated.png")
    monkeypatch.setattr(figures, "WINDOW_S", 0.0)  # as if that were long ago
    playwright.expect(page.locator("#roofline")).to_be_hidden()
    rates = page.inner_text("#rates")
    assert "tokens made" in rates and "tokens a second" not in rates and "cycles" not in rates
    page.close()


def test_a_new_conversation_has_nothing_of_the_old_ones_answer(page):
    hold(page, pieces=2)
    ask(page, "old")
    playwright.expect(page.locator(".assistant.running")).to_have_text("abcabc")
    page.click("#clear")
    page.evaluate("window.free = true")
    ask(page, tokens=8)
    page.wait_for_selector(".assistant .rate", timeout=60_000)
    assert page.evaluate("messages.map((each) => each.role)") == ["user", "assistant"]
    assert page.locator("#messages li").count() == 2 and page.inner_text("#problem") == ""
    assert page.is_enabled("#send") and page.is_disabled("#stop")


def test_a_new_conversations_answer_runs_while_the_old_one_ends(page):
    """Both in one turn of the page's loop: the old answer's end is not the new one's."""
    hold(page, pieces=1)
    ask(page, "old")
    playwright.expect(page.locator(".assistant.running")).to_have_text("abc")
    page.evaluate("""() => { document.getElementById("clear").click(); document.getElementById("text").value = "new";
        document.getElementById("send").click(); }""")
    playwright.expect(page.locator(".assistant.running")).to_have_text("abc")
    assert page.evaluate("messages.map((each) => each.content)") == ["new"]
    assert page.is_disabled("#send") and page.is_enabled("#stop")
    page.click("#stop")
    playwright.expect(page.locator(".assistant:not(.running)")).to_have_text("abc")
    assert page.evaluate("messages.map((each) => each.content)") == ["new", "abc"]


@pytest.mark.parametrize(("status", "answer", "said"), [
    (429, json.dumps({"error": {"message": "32 requests wait already"}}), "32 requests wait already"),
    (503, "Service Unavailable", "503")])
def test_a_refused_message_goes_back_into_its_box(page, status, answer, said):
    hold(page, status, answer)
    ask(page, "mine")
    playwright.expect(page.locator("#problem")).to_contain_text(said)
    assert page.input_value("#text") == "mine" and page.locator("#messages li").count() == 0
    assert page.evaluate("messages") == [] and page.is_disabled("#again")
    page.evaluate("window.free = true")
    ask(page, "mine", tokens=8)
    page.wait_for_selector(".assistant .rate", timeout=60_000)
    assert page.evaluate("messages.map((each) => each.role)") == ["user", "assistant"]


def test_what_was_written_meanwhile_stays_behind_what_goes_back(page):
    hold(page, pieces=0)
    ask(page, "first")
    page.wait_for_selector(".assistant.running")
    page.fill("#text", "second")
    page.click("#stop")  # before any text came
    playwright.expect(page.locator("#messages li")).to_have_count(0)
    assert page.input_value("#text") == "first\nsecond" and page.evaluate("messages") == []
    assert page.inner_text("#problem") == ""


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
    assert page.input_value("#text") == "x"*400
    page.said.clear()  # the browser itself logs a refused request
    ask(page, tokens=8)
    page.wait_for_selector(".assistant .rate", timeout=60_000)
    assert page.inner_text("#problem") == ""
