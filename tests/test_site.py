"""The site builds without a warning or a network, and every link and every resource of it is there."""

import html.parser
import importlib
import importlib.util
import pathlib
import re
import resource
import subprocess
import sys
import urllib.parse

import pytest

ROOT = pathlib.Path(__file__).parents[1]
NEEDED = ("mkdocs", "material", "mkdocstrings", "math_core")
RESOURCES = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
POINTERS = {"canonical", "next", "prev", "alternate"}  # links that no browser loads
ANOTHER_HOST = ("http:", "https:", "//")


class Page(html.parser.HTMLParser):
    """What a page offers and asks for: its anchors, links and resources."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.resources, self.text = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        wanted = given.get(RESOURCES.get(tag))
        if wanted and not (tag == "link" and given.get("rel") in POINTERS):
            self.resources.append(wanted)

    def handle_data(self, data):
        self.text.append(data)


def processor_time():
    """Seconds that ended subprocesses had the processor: unlike the clock's, no other program counts."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site; builds it in strict mode."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    before = processor_time()
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3000)
    assert built.returncode == 0, built.stdout + built.stderr
    assert processor_time() - before < 120
    return folder.resolve()


@pytest.fixture(scope="module")
def pages(site):
    return {path.resolve(): Page(path.read_text()) for path in site.rglob("*.html")}


def target_of(link, page, site):
    """The file that a link of a page leads to, and the anchor in it."""
    path, _, anchor = link.partition("#")
    path = urllib.parse.unquote(path.partition("?")[0])
    if not path:
        return page, anchor
    # 404.html is shown at any address, so its links begin at the root.
    found = site / path.lstrip("/") if path.startswith("/") else page.parent / path
    return (found / "index.html" if found.is_dir() else found).resolve(), anchor


@pytest.fixture
def places(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "website")
    return importlib.import_module("places")


def slug(heading):
    """The anchor that code hosts give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_every_link_of_the_repository_leads_somewhere(places):
    """Without building the site: links between files, as a code host follows them."""
    origins = ["README.md", *(path for path in places.pages() if path.endswith(".md"))]
    followed = 0
    for origin in origins:
        for match, path, anchor in places.targets((ROOT / origin).read_text(), origin):
            target = ROOT / path
            assert target.exists(), f"{origin}: {match['target']}"
            if anchor and target.suffix == ".md":
                headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
                assert anchor in map(slug, headings), f"{origin}: {match['target']}"
            followed += 1
    assert followed > 80


def test_links_become_those_of_the_site(places):
    text = (
        "[a](../pssr_keras/losses.py) [b](../pssr_keras/data) [c](scaling.md#x) [d](../results/paper.json) "
        "[e](../scripts/merge.py) [f](https://elsewhere.org) [g](#here) `[h](../README.md)`\n"
        "```\n[i](../README.md)\n```\n[`j`](../README.md)"
    )
    assert places.translated(text, "docs/a.md", "a.md", places.pages()) == (
        "[a](reference/losses.md) [b](reference/data/index.md) [c](scaling.md#x) "
        "[d](files/results/paper.json) [e](source/scripts/merge.py.md) [f](https://elsewhere.org) [g](#here) "
        "`[h](../README.md)`\n```\n[i](../README.md)\n```\n[`j`](index.md)"
    )


def broken_links(site, pages):
    """The links, and resources, that lead nowhere, and how many there are in all."""
    broken, followed = [], 0
    for page, content in pages.items():
        for link in [*content.links, *content.resources]:
            if link.startswith((*ANOTHER_HOST, "mailto:", "data:", "javascript:")):
                continue
            target, anchor = target_of(link, page, site)
            followed += 1
            if not target.is_file():
                broken.append(f"{page.relative_to(site)}: {link}")
            elif anchor and target.suffix == ".html" and anchor not in pages[target].anchors:
                broken.append(f"{page.relative_to(site)}: {link}, no such anchor")
    return broken, followed


def foreign(site, pages):
    """The resources that a reader's browser would load from another host."""
    found = [
        f"{page.relative_to(site)}: {wanted}"
        for page, content in pages.items()
        for wanted in content.resources
        if wanted.startswith(ANOTHER_HOST)
    ]
    for path in site.rglob("*.css"):
        styles = re.findall(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)", path.read_text())
        found += [f"{path.relative_to(site)}: {wanted}" for wanted in styles]
    return found


def test_the_checker_finds_what_is_broken(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "index.html").write_text(
        '<h1 id="top">x</h1><a href="folder/page.html#here">x</a><a href="#top">x</a>'
        '<a href="folder/page.html#gone">x</a><a href="gone.html">x</a><a href="https://elsewhere.org">x</a>'
        '<script src="https://elsewhere.org/a.js"></script><img src="gone.png">'
    )
    (tmp_path / "folder" / "page.html").write_text('<p id="here">x</p><a href="../index.html">x</a>')
    (tmp_path / "own.css").write_text("a { background: url('//elsewhere.org/b.png'), url(data:x) }")
    pages = {path.resolve(): Page(path.read_text()) for path in tmp_path.rglob("*.html")}
    broken, followed = broken_links(tmp_path.resolve(), pages)
    assert broken == [
        "index.html: folder/page.html#gone, no such anchor",
        "index.html: gone.html",
        "index.html: gone.png",
    ]
    assert followed == 6
    assert foreign(tmp_path.resolve(), pages) == [
        "index.html: https://elsewhere.org/a.js",
        "own.css: //elsewhere.org/b.png",
    ]


@pytest.mark.slow
def test_no_link_and_no_anchor_is_broken(site, pages):
    broken, followed = broken_links(site, pages)
    assert not broken, "\n".join(broken)
    assert followed > 1_000


@pytest.mark.slow
def test_nothing_is_loaded_from_another_host(site, pages):
    assert not foreign(site, pages)


@pytest.mark.slow
def test_what_a_visitor_looks_for_is_there(site, pages):
    def text(name):
        return "".join(pages[site / name].text)

    equations = (site / "equations.html").read_text()
    assert equations.count('<math display="block"') >= 10
    assert "\\(" not in equations
    for number in range(3, 13):
        assert f"Equation {number}:" in text("equations.html")
    assert "tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits" in text("equations.html")
    assert "worst case" in text("index.html")
    for path in ROOT.glob("tutorials/*.ipynb"):
        page = (site / "tutorials" / f"{path.stem}.html").read_text()
        assert "_files/" in page
        assert 'class="output' in page
    answer = (
        (site / "tutorials" / "01_findings.html").read_text().partition("Answer, after you have tried")[2]
    )
    assert "check_largest_share" in answer.partition("</details>")[0]
    assert not {"`", "$"} & set(answer.partition("</details>")[0])  # its Markdown is read as well
    for path in ROOT.glob("pssr_keras/**/*.py"):
        parts = path.relative_to(ROOT / "pssr_keras").with_suffix("").parts
        name = "/".join(parts).replace("__init__", "index")
        assert (site / "reference" / f"{name}.html").is_file()
    assert "images (B, H, W, C), float32 in [0, 1]." in text("reference/surgery.html")
    index = (site / "search" / "search_index.js").read_text()
    assert "salient_mask" in index
    assert "frozen_mask" in index
