"""`hf://OWNER/REPOSITORY@COMMIT/FILE`: a file of the Hugging Face hub, as its own client writes it, at one commit.

Nothing here asks the hub; `data/hub.py` does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from roftmol.core.errors import UserError

SCHEME = "hf://"
#: What helps where the hub's client is not installed.
INSTALL = "huggingface_hub, the client of the Hugging Face hub, is not installed. `pip install huggingface_hub` does so"
_FORM = re.compile(r"hf://([\w.-]+/[\w.-]+?)(?:@([^/]*))?/([^\s@?#]+)", re.ASCII)


@dataclass(frozen=True)
class HubFile:
    """A file in a repository of models, at one commit."""

    repository: str
    commit: str
    path: str


def is_on_hub(place: str) -> bool:
    """Return whether a file is named by its place on the hub, and not by a path."""
    return place.startswith(SCHEME)


def hub_file(place: str, where: str) -> HubFile:
    """Return the file that is named; raise `UserError` for another form, and for what names no commit.

    A branch or a tag can become another file, and nobody would notice.
    """
    form = _FORM.fullmatch(place)
    if not form or ".." in form[3].split("/"):
        raise UserError(f"{where}: {place!r} is no file of the hub; write hf://OWNER/REPOSITORY@COMMIT/FILE.")
    repository, commit, path = form.groups()
    if not re.fullmatch(r"[0-9a-f]{40}", commit or ""):
        raise UserError(
            f"{where}: {place!r} names no commit, and a branch or a tag can become another file. Write the 40 digits, "
            f"hf://{repository}@COMMIT/{path}; `git ls-remote https://huggingface.co/{repository}` says what they are."
        )
    return HubFile(repository, commit, path)
