"""The site builds without a warning or a network, and every link and every resource of it is there."""

import html.parser
import importlib.util
import pathlib
import subprocess
import sys
import time
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


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site; builds it in strict mode."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    start = time.perf_counter()
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert built.returncode == 0, built.stdout + built.stderr
    assert time.perf_counter() - start < 120
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path.read_text()) for path in site.rglob("*.html")}


def target_of(link, page, site):
    """The file that a link of a page leads to, and the anchor in it."""
    path, _, anchor = link.partition("#")
    path = urllib.parse.unquote(path.partition("?")[0])
    if not path:
        return page, anchor
    # 404.html is shown at any address, so its links begin at the root.
    found = site / path.lstrip("/") if path.startswith("/") else page.parent / path
    return (found / "index.html" if found.is_dir() else found).resolve(), anchor


@pytest.mark.slow
def test_no_link_and_no_anchor_is_broken(site, pages):
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
    assert not broken, "\n".join(broken)
    assert followed > 1_000


@pytest.mark.slow
def test_nothing_is_loaded_from_another_host(site, pages):
    for page, content in pages.items():
        for resource in content.resources:
            assert not resource.startswith(ANOTHER_HOST), f"{page.relative_to(site)}: {resource}"
    for path in site.rglob("*.css"):
        text = path.read_text()
        for outside in ("url(http", "url(//", 'url("http', "@import"):
            assert outside not in text, path


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
    for path in ROOT.glob("pssr_keras/**/*.py"):
        parts = path.relative_to(ROOT / "pssr_keras").with_suffix("").parts
        name = "/".join(parts).replace("__init__", "index")
        assert (site / "reference" / f"{name}.html").is_file()
    assert "images (B, H, W, C), float32 in [0, 1]." in text("reference/surgery.html")
    index = (site / "search" / "search_index.js").read_text()
    assert "salient_mask" in index
    assert "frozen_mask" in index
