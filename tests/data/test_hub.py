"""Weights from the Hugging Face hub: its own client against a server here that answers as the hub does."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from roftmol.core.errors import UserError
from roftmol.core.files import git_blob
from roftmol.data.download import fetch
from roftmol.experiment.keys import Config
from roftmol.experiment.registered import registered
from roftmol.registry.catalog import Source
from roftmol.registry.hub import HubFile, hub_file

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef" * 2 + "01234567"
CONTENT = b"weights " * 10_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PLACE = f"hf://someone/models@{COMMIT}/gin/model.pt"
#: What the server says of a repository or file that it does not give: the hub's status and `X-Error-Code`.
REFUSED = {
    "nobody/models": (401, "RepoNotFound"),
    "gated/models": (403, "GatedRepo"),
    f"someone/models/resolve/{'f' * 40}": (404, "RevisionNotFound"),
    "gin/other.pt": (404, "EntryNotFound"),
}


@dataclass
class Hub:
    """A server's address, and what it was asked for."""

    address: str
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one file, large (its ETag is a SHA-256) or small (a git object id), and an empty cache."""
    constants = pytest.importorskip("huggingface_hub.constants", reason="huggingface_hub is not installed")

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(b"")

        def do_GET(self) -> None:
            self.answer(CONTENT)

        def answer(self, content: bytes) -> None:
            if "/resolve/" in self.path:  # the client asks for other things, too
                here.asked.append(f"{self.command} {self.path}")
            status, code = next((said for part, said in REFUSED.items() if part in self.path), (200, ""))
            self.send_response(status)
            self.send_header("X-Repo-Commit", COMMIT)
            if code:
                self.send_header("X-Error-Code", code)
            else:
                small = self.path.endswith(".json")
                blob = hashlib.sha1(b"blob %d\0%b" % (len(CONTENT), CONTENT), usedforsecurity=False).hexdigest()
                self.send_header("ETag", f'"{blob if small else SHA256}"')
            self.send_header("Content-Length", str(0 if code else len(CONTENT)))
            self.end_headers()
            self.wfile.write(b"" if code else content)

        def log_message(self, *_arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here = Hub(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, here.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", here.address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        yield here
        server.shutdown()


def bring(out: Path, place: str = PLACE, **about: str) -> None:
    fetch([Source("hub", place, **about)], out, mirror=None, name="mine")


def test_a_commits_file_is_brought_once(hub: Hub, tmp_path: Path):
    """Whether its checksum is the large files' or the small ones'."""
    for name in ("model.pt", "model.json"):
        hub.asked.clear()
        bring(tmp_path / name, PLACE.replace("model.pt", name))
        assert (tmp_path / name).read_bytes() == CONTENT
        path = f"/someone/models/resolve/{COMMIT}/gin/{name}"
        assert hub.asked == [f"HEAD {path}", f"GET {path}"]
        bring(tmp_path / "again", PLACE.replace("model.pt", name))
        assert len(hub.asked) == 2


def test_the_clients_variables_hold_and_what_the_cache_holds_needs_no_network(hub: Hub, tmp_path: Path):
    script = f"""
import sys
from pathlib import Path
from roftmol.data.download import fetch
from roftmol.registry.catalog import Source
print(fetch([Source("hub", {PLACE!r}, sha256={SHA256!r})], Path(sys.argv[1]), mirror=None, name="mine"))
"""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'workflow'}:{':'.join(sys.path)}", "HF_HOME": str(tmp_path)}
    for extra in ({"HF_ENDPOINT": hub.address}, {"HF_HUB_OFFLINE": "1"}):
        command = [sys.executable, "-c", script, tmp_path / "out"]
        done = subprocess.run(command, env=environment | extra, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, f"{PLACE}\n"), done.stderr
        (tmp_path / "out").unlink()
    assert len(hub.asked) == 2


def test_another_content_than_expected_is_refused(hub: Hub, tmp_path: Path):
    with pytest.raises(UserError, match=f"with SHA-256 {SHA256}, expected {'0' * 64}"):
        bring(tmp_path / "out", sha256="0" * 64)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["model.pt", "model.json"])
def test_a_damaged_cache_is_refused(hub: Hub, tmp_path: Path, name: str):
    bring(tmp_path / "out", PLACE.replace("model.pt", name))
    (blob,) = (tmp_path / "cache").rglob("blobs/*")
    assert blob.name in (SHA256, git_blob(blob))
    blob.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(UserError, match=rf"{blob}: the cache's copy is not what the hub has\. Delete it"):
        bring(tmp_path / "out", PLACE.replace("model.pt", name))


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (PLACE.replace("someone", "nobody"), "shows no repository nobody/models. Correct the name; for a private one"),
        (PLACE.replace("someone", "gated"), "gated/models is shared on terms. Accept them on its page, then `hf auth"),
        (PLACE.replace(COMMIT, "f" * 40), f"someone/models has no commit {'f' * 40}"),
        (PLACE.replace("model.pt", "other.pt"), f"someone/models has no file gin/other.pt at commit {COMMIT}"),
    ],
)
def test_what_the_hub_refuses_is_said_with_what_helps(hub: Hub, tmp_path: Path, place: str, said: str):
    with pytest.raises(UserError) as raised:
        bring(tmp_path / "out", place)
    assert said in str(raised.value)
    assert str(raised.value).endswith("write its path into the configuration, in place of what stands there.")


def test_what_the_cache_lacks_cannot_be_brought_offline(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=f"`hf download someone/models gin/model.pt --revision {COMMIT}` brings it"):
        bring(tmp_path / "out")
    assert hub.asked == []


def test_without_the_client_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"is not installed\. `pip install huggingface_hub` does so"):
        bring(tmp_path / "out")


def test_a_place_names_repository_commit_and_file():
    assert hub_file(PLACE, "here") == HubFile("someone/models", COMMIT, "gin/model.pt")
    for place in ("hf://someone/model.pt", f"hf://someone/models@{COMMIT}/", f"hf://a/b@{COMMIT}/../x", "hf://"):
        with pytest.raises(UserError, match=r"here: .* write hf://OWNER/REPOSITORY@COMMIT/FILE"):
            hub_file(place, "here")
    for revision in ("", "@main", "@0123456"):
        with pytest.raises(UserError, match=r"names no commit.*`git ls-remote https://huggingface.co/a/b` says"):
            hub_file(f"hf://a/b{revision}/model.pt", "here")


def test_a_configuration_names_weights_on_the_hub(tmp_path: Path):
    (tmp_path / "my_model.py").touch()
    model = {"code": str(tmp_path / "my_model.py"), "weights": PLACE, "blocks": [["convs"]], "pooling": "mean"}
    model |= {"pretraining": "self-supervised", "sha256": SHA256}
    names = registered(Config(own_models={"mine": model}, files={"graphmae": PLACE}))
    assert names.checkpoints["mine"].sources == (Source("hub", PLACE, sha256=SHA256),)
    assert names.checkpoints["graphmae"].sources[0] == Source("hub", PLACE)
    with pytest.raises(UserError, match=r"own_models\.mine\.weights: .*names no commit"):
        registered(Config(own_models={"mine": model | {"weights": "hf://someone/models/model.pt"}}))
    with pytest.raises(UserError, match=r"own_models\.mine\.code: .* is on the hub, from where only weights"):
        registered(Config(own_models={"mine": model | {"code": PLACE}}))
    with pytest.raises(UserError, match=r"files\.esol: .* is on the hub, from where only weights"):
        registered(Config(files={"esol": PLACE}))
