"""A file of the Hugging Face hub, by the hub's own client.

So its cache (HF_HOME), its offline mode (HF_HUB_OFFLINE), its login and its mirrors (HF_ENDPOINT) hold here too. What
the cache holds of a commit is not asked for again.
"""

from __future__ import annotations

import re
from pathlib import Path

from roftmol.core.errors import UserError
from roftmol.core.files import git_blob, sha256
from roftmol.registry.hub import INSTALL, HubFile


def cached(file: HubFile) -> Path:
    """Return the file in the client's cache, brought there if it was not there yet.

    Raises `UserError`, with what helps, if the client is not installed, if the hub does not give the file, or if it is
    not what the hub says it is.
    """
    try:
        from huggingface_hub import errors, hf_hub_download
    except ImportError as error:
        raise UserError(f"{INSTALL}.") from error
    login = "`hf auth login`"
    try:
        path = Path(hf_hub_download(file.repository, file.path, revision=file.commit))
    except errors.GatedRepoError as error:
        raise UserError(f"{file.repository} is shared on terms. Accept them on its page, then {login}.") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"the hub shows no repository {file.repository}. Correct the name; for a private one, {login}."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{file.repository} has no commit {file.commit}. Its page lists them as History.") from error
    except errors.LocalEntryNotFoundError as error:
        raise UserError(
            "the hub is not asked (HF_HUB_OFFLINE) or not reached, and its cache does not hold the file. Where there "
            f"is a network, `hf download {file.repository} {file.path} --revision {file.commit}` brings it into the "
            "folder that HF_HOME names, which can be copied."
        ) from error
    except errors.EntryNotFoundError as error:
        raise UserError(
            f"{file.repository} has no file {file.path} at commit {file.commit}. Its page lists them as Files."
        ) from error
    except Exception as error:  # those of its HTTP library have no base that every version of the client has
        raise UserError(f"the hub does not give it ({' '.join(str(error).split())[:300]})") from error
    _check(path)
    return path


def _check(path: Path) -> None:
    """Raise `UserError` if a file of the cache is not what its name says: the SHA-256 or the git object id."""
    content = path.resolve()
    digest = {64: sha256, 40: git_blob}.get(len(content.name))
    if digest and re.fullmatch("[0-9a-f]+", content.name) and digest(content) != content.name:
        raise UserError(f"{content}: the cache's copy is not what the hub has. Delete it and run again.")
