"""Every relative link of the pages leads to a file, and its anchor to a heading there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md", "config/README.md")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "workflow").rglob("*.md")),
]
#: [words](target), the target without blanks; of pictures too.
LINK = re.compile(r"\]\(([^()\s]+)\)")


def prose(page: Path) -> str:
    """Return the text of a page without its code, where brackets are no links."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^(?: {4}|\t)(?!\s*(?:[-*]|\d+\.) ).*$", "", text, flags=re.MULTILINE)
    return re.sub(r"(`+)(?:(?!`).)+\1(?!\])", "", text)


def anchors(page: Path) -> set[str]:
    """Return what a page's headings are called in links to them, as GitHub names them."""
    names: dict[str, int] = {}
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for heading in re.findall(r"^#+ +(.+?)\s*$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        names[name] = names.get(name, -1) + 1
        if names[name]:
            names[f"{name}-{names[name]}"] = 0
    return names.keys() | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    broken = []
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


#: A file of the repository's, named in code: `evaluation/aggregate.py`, `docs/scale.md`.
NAMED = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|smk|sh|md|jinja))`")
#: What a reader writes, by the examples.
READERS = {"my_model.py", "NAME.py", "draw.py", "l1_sp.py", "test_l1_sp.py"}


def test_files_that_are_named_in_code_are_there():
    """A path may begin anywhere, as long as some file's path ends with it."""
    folders = ("rules", "workflow", "docs", "tests", "benchmarks", "envs", "config")
    files = [*ROOT.glob("*"), *(path for folder in folders for path in (ROOT / folder).rglob("*.*"))]
    ends = [f"/{path.relative_to(ROOT)}" for path in files]
    pages = [page for page in PAGES if page.name != "CHANGELOG.md" and page.parent.name != "results"]
    missing = {
        f"{page.relative_to(ROOT)}: {name}"
        for page in pages
        for name in NAMED.findall(page.read_text(encoding="utf-8"))
        if Path(name).name not in READERS and not any(end.endswith(f"/{name}") for end in ends)
    }
    assert sorted(missing) == []
