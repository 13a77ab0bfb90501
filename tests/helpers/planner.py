"""`snakemake` for what is planned but not run: each time a process of its own, forked from one that has imported it.

Importing Snakemake takes as long as making a plan, and tests ask for some sixty plans. What is imported beforehand is
others': our package is imported after the fork, from beside the Snakefile. Whatever starts jobs is started as users do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

SNAKEMAKE = Path(sys.executable).parent / "snakemake"
#: The options with which no job is started.
STARTS_NOTHING = {"-n", "--dry-run", "--unlock"}


def run(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `snakemake` with these arguments and variables in a folder."""
    with tempfile.TemporaryDirectory() as said:
        outputs = [str(Path(said, name)) for name in ("stdout", "stderr")]
        server = _server()
        assert server.stdin
        assert server.stdout
        request = {"arguments": list(arguments), "folder": str(folder), "outputs": outputs}
        server.stdin.write(json.dumps({**request, "environment": dict(environment)}) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        return subprocess.CompletedProcess(list(arguments), status, *(Path(path).read_text() for path in outputs))


@cache
def _server() -> subprocess.Popen[str]:
    """The process that has imported Snakemake; it ends when this one does and its input is closed."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, __file__], stdin=pipe, stdout=pipe, text=True)


def _serve() -> None:
    import pyarrow.parquet  # noqa: F401 (as the next, what the rules import)
    from snakemake import cli

    assert not [name for name in sys.modules if name.split(".")[0] == "roftmol"]
    sys.path[0] = str(SNAKEMAKE.parent)
    for line in iter(sys.stdin.readline, ""):
        if child := os.fork():
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        else:
            request = json.loads(line)
            for number, path in enumerate([os.devnull, *request["outputs"]]):
                stream = os.open(path, os.O_RDWR | os.O_CREAT)
                os.dup2(stream, number)
                os.close(stream)
            os.environ.clear()
            os.environ.update(request["environment"])
            os.chdir(request["folder"])
            sys.argv = [str(SNAKEMAKE), *request["arguments"]]
            cli.main()
            return


if __name__ == "__main__":
    _serve()
