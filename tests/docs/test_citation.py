"""What names the software to others: CITATION.cff, the changelog, and what the workflow catalog reads."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
#: The keys of Citation File Format 1.2.0, https://github.com/citation-file-format/citation-file-format.
REQUIRED = {"cff-version", "message", "title", "authors"}
OPTIONAL = {
    *("abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license", "license-url"),
    *("preferred-citation", "references", "repository", "repository-artifact", "repository-code", "type", "url"),
    "version",
}


def test_the_citation_has_the_keys_of_its_format():
    assert CITATION["cff-version"] == "1.2.0"
    assert REQUIRED <= CITATION.keys() <= REQUIRED | OPTIONAL
    assert all("name" in author or "family-names" in author for author in CITATION["authors"])
    assert CITATION["type"] == "software"


def test_the_citation_is_of_this_software():
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert licence.startswith(f"{CITATION['license']} License")
    assert [author["name"] for author in CITATION["authors"]] == re.findall(
        r"^Copyright \(c\) \d+ (.+)$", licence, re.M
    )


def test_one_version_is_said_everywhere():
    """The changelog says which version its first part is, released or not."""
    assert CITATION["version"] == PROJECT["version"]
    first = re.search(r"^## (.+)$", CHANGELOG, re.M)
    assert first
    assert re.fullmatch(rf"{re.escape(PROJECT['version'])} - (\d{{4}}-\d\d-\d\d|unreleased)", first[1])
    assert ("date-released" in CITATION) == ("unreleased" not in first[1])


def test_the_changelog_has_the_kinds_of_keep_a_changelog():
    kinds = re.findall(r"^### (\w+)", CHANGELOG, re.M)
    assert kinds
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_catalog_says_what_the_workflow_can():
    """`conda: true` of a workflow whose every rule has an environment, `report: true` of one that marks its results."""
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))["usage"]
    assert usage == {"software-stack-deployment": {"conda": True}, "report": True}
    rules = {path: path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk")}
    shells = [text.count("    shell:\n") for text in rules.values()]
    assert sum(shells) > 20
    assert shells == [text.count("    conda:\n") for text in rules.values()]
    assert any("report(" in text for text in rules.values())
    assert (ROOT / "config" / "README.md").is_file()
