"""The table of methods in README.md, made from their records.

    python -m roftmol.methods.reference

writes it anew. Nothing else imports this module.
"""

from __future__ import annotations

import re
from pathlib import Path

from roftmol.methods import METHODS

PAGE = Path(__file__).parents[3] / "README.md"
#: The table stands between these lines.
BEGIN, END = "<!-- methods: made by `make docs` -->\n", "<!-- end of methods -->\n"


def table() -> str:
    """Return the table: a row a method, in the order of the report."""
    rows = [
        f"| `{method.name}` | {method.title} | {method.summary} | {_linked(method.paper)} |"
        for method in METHODS.values()
    ]
    return "\n".join(["| name | in the report | what it does | paper |", "|---|---|---|---|", *rows, ""])


def markdown(page: str) -> str:
    """Return the text of a page with the table written anew.

    Raises `ValueError` unless the page has the two lines around it once, in their order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in after or END in after:
        raise ValueError(f"{PAGE.name}: the table of methods stands between {BEGIN!r} and {END!r}, once")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def write() -> None:
    """Write README.md with the table anew."""
    PAGE.write_text(markdown(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def _linked(paper: str) -> str:
    """Return a citation whose number in arXiv is a link."""
    return re.sub(r"arXiv ([\d.]+\d)", r"[arXiv \1](https://arxiv.org/abs/\1)", paper)


if __name__ == "__main__":
    write()
