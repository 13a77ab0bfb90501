"""Whose a recommendation's folder is: that of one file, so that two files of one name never share results."""

from __future__ import annotations

import json
from pathlib import Path

from roftmol.core.errors import UserError
from roftmol.core.files import atomic

#: The file in a recommendation's folder that says which file it is of.
CLAIM = "data.json"


def check_claim(folder: Path, data: Path) -> None:
    """Raise `UserError` if a recommendation's folder is of another file than `data`, which is still there."""
    try:
        claimant = Path(json.loads((folder / CLAIM).read_text(encoding="utf-8"))["path"])
    except (OSError, ValueError, LookupError, TypeError):
        return
    if claimant.is_file() and not claimant.samefile(data):
        raise UserError(
            f"{folder}: these are the results on {claimant}, and {data} has the same name. Give them a folder of "
            f"their own by `name`, for example name={folder.name}-2."
        )


def claim(folder: Path, data: Path) -> None:
    """Write down in a recommendation's folder which file it is of."""
    path = folder / CLAIM
    text = json.dumps({"path": str(data.resolve())}) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
