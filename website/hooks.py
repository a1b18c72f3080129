"""The hooks of mkdocs: pages from all over the repository, links between them, formulas.

places.py       where each file of the repository is on the site
notebooks.py    the executed tutorials as Markdown
reference.py    the API pages
sources.py      what pages take from the package
mathematics.py  LaTeX as MathML
"""

import re

import mathematics
import notebooks
import places
import reference
import sources
from mkdocs import utils
from mkdocs.structure.files import File

from pssr_keras import data

PAGES = {}  # {path in the repository: path on the site} of this build
# What the plugin `offline` would fetch from the web when a page is read; the same file is in docs/assets.
WEB_WORKER, OWN_WORKER = "https://unpkg.com/iframe-worker/shim", "assets/iframe-worker.js"

INTERVAL = re.compile(r"\(\d[\d.]* to \d[\d.]*\)(?=</)")  # at the end of a cell


def on_config(config):
    PAGES.clear()
    PAGES.update(places.pages())
    config["nav"] = filled_in(config["nav"])
    config["watch"] += [str(places.ROOT / name) for name in ("tutorials", "results", "pssr_keras", "website")]
    return config


def filled_in(nav):
    """The navigation with each `folder/*` replaced by the pages of that folder."""
    if isinstance(nav, list):
        return [filled_in(entry) for entry in nav]
    if isinstance(nav, dict):
        return {title: filled_in(entry) for title, entry in nav.items()}
    if not nav.endswith("/*"):
        return nav
    if nav == "reference/*":
        return reference.navigation(PAGES)
    pages = [page for page in PAGES.values() if page.startswith(nav[:-1]) and page.endswith(".md")]
    pages.sort(key=lambda page: (page.count("/"), not page.endswith("/index.md"), page))
    return by_data_set(pages) if nav == "results/*" else pages


def by_data_set(pages):
    """The pages of results/, one group for each folder, under the title of its data set."""
    groups = {}
    for page in pages:
        groups.setdefault(page.split("/")[1], []).append(page)
    titles = {name: entry.title for name, entry in data.DATASETS.items() if entry.title}
    return [{titles.get(folder, folder): inside} for folder, inside in groups.items()]


def on_files(files, config):
    """Add the pages that are not in docs/, and whatever else their links lead to."""
    for path, page in PAGES.items():
        if not path.startswith("docs/") and files.get_file_from_path(page) is None:
            add(files, config, path, page)
    for origin in list(PAGES):
        if origin.endswith(".md"):
            for _, path, _ in places.targets((places.ROOT / origin).read_text(), origin):
                page = places.place(path, PAGES)
                if page is not None and files.get_file_from_path(page) is None:
                    PAGES[path] = page
                    add(files, config, path, page)
    return files


def add(files, config, path, page):
    """A page or file of the site from a file of the repository."""
    file = places.ROOT / path
    if path.endswith(".ipynb"):
        text, figures = notebooks.markdown(file)
        for name, content in figures.items():
            files.append(File.generated(config, f"{page.rpartition('/')[0]}/{name}", content=content))
        files.append(File.generated(config, page, content=text))
    elif page.startswith("reference/"):
        files.append(File.generated(config, page, content=reference.page(path, PAGES)))
    elif page.startswith("source/"):
        text = f"# {path}\n\n```python\n{file.read_text()}```\n"
        files.append(File.generated(config, page, content=text))
    else:
        files.append(File.generated(config, page, abs_src_path=str(file)))


def on_page_markdown(markdown, page, config, files):
    (origin,) = (path for path, place in PAGES.items() if place == page.file.src_uri)
    if page.is_homepage:
        page.meta["hide"] = ["navigation"]  # it has no neighbours
    text = places.translated(markdown, origin, page.file.src_uri, PAGES)
    return sources.filled(text, page.file.src_uri, PAGES)


def on_post_page(output, page, config):
    return output.replace(WEB_WORKER, utils.get_relative_url(OWN_WORKER, page.url))


def on_post_template(output_content, template_name, config):
    return output_content.replace(WEB_WORKER, f"/{OWN_WORKER}")


def on_page_content(html, page, config, files):
    html = INTERVAL.sub(r'<span class="interval">\g<0></span>', html)
    return mathematics.mathml(html)
