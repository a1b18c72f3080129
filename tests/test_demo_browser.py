"""The page as visitors use it, in a Chromium without a window."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
from pictures import bad_uploads, digit, file_of

pytest.importorskip("streamlit", reason='the page needs Streamlit: pip install -e ".[demo]"')
playwright = pytest.importorskip(
    "playwright.sync_api", reason='a browser is driven by playwright: pip install -e ".[browser]"'
)

ROOT = pathlib.Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser is installed: apt-get install chromium")

PATIENCE = 120_000  # milliseconds; a busy machine is slow


OTHERS = {"__pycache__", ".keras", "matplotlib"}  # what Python and two libraries write when first imported


def files_under(*folders):
    """{path: time of its last change} of all that lies in some folders."""
    found = {}
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not OTHERS.intersection(path.parts):
                found[path] = path.stat().st_mtime_ns
    return found


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address and port of a page of its own, the folders it might write to, and what was in them."""
    home, temporary, work = (tmp_path_factory.mktemp(name) for name in ("home", "temporary", "work"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = str(ROOT)
    watched = (home, temporary, work, ROOT / "pssr_keras", ROOT / "scripts")
    before = files_under(*watched)
    command = [sys.executable, str(ROOT / "scripts" / "demo.py"), "--port", str(port)]
    with subprocess.Popen(
        command, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said = []
        threading.Thread(target=lambda: said.extend(process.stdout), daemon=True).start()
        address = f"http://127.0.0.1:{port}"
        wait_for(address, process)
        yield address, port, watched, before
        process.terminate()
        assert process.wait(60) is not None
    assert files_under(*watched) == before, "the page wrote files"
    assert "Traceback" not in "".join(said), "".join(said)


def wait_for(address, process):
    for _ in range(600):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.2)
    raise AssertionError("the page is not served")


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(served, chromium):
    """Function: open the page and wait for its first answer; nothing may be asked of another machine."""
    contexts, foreign, mistakes = [], [], []

    def open_page(**options):
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)

        def check(request):
            if not request.url.startswith((served[0], "data:", "blob:")):
                foreign.append(request.url)

        page.on("request", check)
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        page.goto(served[0])
        page.wait_for_selector(".verdict")
        settle(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert foreign == []
    assert mistakes == []


def settle(page):
    """Wait until the page has run to its end."""
    page.wait_for_function(
        """() => {
            const app = document.querySelector('[data-testid="stApp"]');
            return app?.dataset.testScriptState === 'notRunning'
                && !document.querySelector('[data-stale="true"]');
        }"""
    )


def answered(page, before=None):
    """The sentences of the next answer: another one than `before`, if given."""
    if before is not None:
        page.wait_for_function(
            "before => document.querySelector('.verdict')?.innerText != before", arg=before
        )
    settle(page)
    return page.inner_text(".verdict")


def choose(page, label, option):
    """Choose an option of a list by its label, with the keyboard alone."""
    box = page.get_by_role("combobox", name=label, exact=True)
    box.focus()
    box.fill(option)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")


def test_a_visitor_sees_at_once_that_knowledge_breaks_the_defense(visit):
    page = visit()
    words = page.inner_text(".verdict")
    assert re.search(r"Oblivious attacker: PSSR says 0, right; the classifier alone says [1-9]", words)
    assert re.search(r"Adaptive attacker: PSSR says [1-9], wrong", words)
    assert page.locator(".play img").count() == 5 + 6 + 6
    assert page.locator(".curves img").count() == 2
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")


def test_the_only_way_in_is_the_loopback(served):
    listening = pathlib.Path("/proc/net/tcp")
    if not listening.is_file():
        pytest.skip("no /proc/net/tcp tells who listens here")
    lines = [line.split() for line in listening.read_text().splitlines()[1:]]
    places = {line[1] for line in lines if line[3] == "0A" and line[1].endswith(f":{served[1]:04X}")}
    assert places == {f"0100007F:{served[1]:04X}"}


def test_other_choices_are_other_answers(visit):
    page = visit()
    first = page.inner_text(".verdict")
    page.get_by_text("oblivious: knows the classifier alone").click()
    second = answered(page, first)
    assert "Adaptive" not in second
    page.get_by_text("both, side by side").click()
    assert answered(page, second) == first
    choose(page, "Class", "7")
    third = answered(page, first)
    assert "Clean image: PSSR says 7, right" in third
    choose(page, "Attack", "FGSM")
    page.wait_for_function("() => /: 1 steps/.test(document.querySelector('.play').innerText)")
    settle(page)
    assert page.get_by_role("slider", name="Steps").count() == 0
    page.get_by_role("button", name="Any other image").click()
    settle(page)
    assert page.locator(".play img").count() == 17


def test_the_budget_is_moved_by_keys_alone(visit):
    page = visit()
    before = page.locator(".play img").nth(5).get_attribute("src")
    budget = page.get_by_role("slider", name=re.compile("Budget"))
    budget.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("before => document.querySelectorAll('.play img')[5]?.src != before", arg=before)
    settle(page)
    assert budget.get_attribute("aria-valuetext") == "0.25"
    for _ in range(40):  # every control is reached by Tab
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('[data-testid=\"stRadio\"]') !== null"):
            break
    else:
        raise AssertionError("the threat model cannot be reached by keys")


def draw_a_one(page):
    board = page.locator("canvas")
    board.wait_for()
    board.scroll_into_view_if_needed()
    box = board.bounding_box()
    page.mouse.move(box["x"] + 140, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 140, box["y"] + 230, steps=8)
    page.mouse.up()


def test_a_drawing_is_answered(visit):
    page = visit()
    page.get_by_text("draw", exact=True).click()
    page.get_by_text("Draw or upload an image to begin.").wait_for()
    draw_a_one(page)
    page.wait_for_selector(".verdict")
    assert "Clean image: PSSR says 1, right" in answered(page)
    page.get_by_role("button", name="Clear").click()
    page.get_by_text("Draw or upload an image to begin.").wait_for()
    page.locator("canvas").focus()
    for key in (*["ArrowUp"] * 9, "Space", *["ArrowDown"] * 18, "Space"):
        page.keyboard.press(key)
    page.wait_for_selector(".verdict")
    assert "Clean image: PSSR says 1, right" in answered(page)


def upload(page, name, content):
    page.locator('input[type="file"]').set_input_files(
        {"name": name, "mimeType": "image/png", "buffer": content}
    )


def test_uploads_are_answered_or_refused_in_a_line_and_written_nowhere(visit, served):
    page = visit()
    page.get_by_text("upload", exact=True).click()
    upload(page, "one.png", file_of(digit()))
    page.wait_for_selector(".verdict")
    assert "PSSR says 1, right" in answered(page)
    for name, (content, message) in bad_uploads().items():
        upload(page, name, content)
        if name == "heavy.png":  # refused by the page before it is sent
            page.get_by_text(re.compile("must be .* or smaller")).wait_for()
        else:
            refusal = page.locator('[data-testid="stAlert"]', has_text=re.compile(message))
            refusal.wait_for()
            assert len(refusal.inner_text().split("\n\n")) == 2  # the sign, and the line
        assert page.locator('[data-testid="stException"]').count() == 0
        assert "Traceback" not in page.inner_text("body")
    upload(page, "notes.txt", b"no picture by its name either")
    page.get_by_text(re.compile("not allowed")).wait_for()
    assert files_under(*served[2]) == served[3]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_of_a_telephone(visit, scheme):
    page = visit(viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    width = page.evaluate(
        "Math.max(...[...document.querySelectorAll('.play *, .curves *')]"
        ".map(element => element.getBoundingClientRect().right))"
    )
    assert width <= 390
    colours = page.evaluate(
        "[document.querySelector('.verdict'), document.querySelector('.stApp')].map(e => getComputedStyle(e))"
        ".map((style, i) => i ? style.backgroundColor : style.color)"
    )
    ink, paper = (sum(map(float, re.findall(r"[\d.]+", colour)[:3])) for colour in colours)
    assert (ink > 450 > 150 > paper) if scheme == "dark" else (ink < 250 < 650 < paper)


def test_a_queue_is_said(visit):
    """Of several visitors at once some read how many are before them."""
    pages = [visit() for _ in range(3)]
    for page in pages:
        page.evaluate(
            """() => {
                window.said = [];
                new MutationObserver(() => {
                    const found = document.body.innerText.match(/A queue: \\d+ before you/);
                    if (found) window.said.push(found[0]);
                }).observe(document.body, { childList: true, subtree: true, characterData: true });
            }"""
        )
    for page in pages:
        choose(page, "Attack", "Square")
    for page in pages:
        page.wait_for_function("() => /queries/.test(document.querySelector('.play').innerText)")
        settle(page)
    assert any(page.evaluate("window.said.length") for page in pages)
