"""The workflow's jobs, each a process forked from one that has imported what others wrote.

Importing that takes most of a small job's time. Our package is imported after the fork, in a job that has the
arguments, folder, variables and streams that its rule's shell gave it, and whose exit status or signal the shell sees.
Bash reads `BASH_ENV` first: there stands what `python` is.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path

#: What jobs take longest to import.
IMPORTED = (
    *("torch", "pandas", "pyarrow.parquet", "safetensors.torch", "scipy.stats", "yaml", "requests", "jinja2"),
    *("rdkit.Chem.AllChem", "rdkit.Chem.MolStandardize.rdMolStandardize", "rdkit.Chem.Scaffolds.MurckoScaffold"),
    *("sklearn.ensemble", "sklearn.metrics", "matplotlib.pyplot", "matplotlib.backends.backend_svg"),
)
#: What a rule's shell starts as `command python`: it hands what it was given to the server, and ends as the job does.
CLIENT = """
import json, os, signal, socket, sys

with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    socket.send_fds(server, [b"."], [0, 1, 2])
    server.sendall(json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode())
    server.shutdown(socket.SHUT_WR)
    status = int(server.makefile().read())
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


def environment() -> dict[str, str]:
    """The variables with which Snakemake's jobs are forked."""
    folder, _ = _server()
    return {"BASH_ENV": str(folder / "bash_env")}


@cache
def _server() -> tuple[Path, subprocess.Popen[bytes]]:
    """Start the server; it ends when this process does and its input is closed, and takes its folder along."""
    folder = Path(tempfile.mkdtemp())
    client = folder / "client.py"
    client.write_text(CLIENT)
    started = shlex.join([sys.executable, "-IS", str(client), str(folder / "socket")])
    (folder / "bash_env").write_text(
        f'command() {{ if [ "$1" = python ]; then shift; {started} "$@"; else builtin command "$@"; fi; }}\n'
    )
    pipe = subprocess.PIPE
    server = subprocess.Popen([sys.executable, __file__, str(folder)], stdin=pipe, stdout=pipe)
    assert server.stdout
    assert server.stdout.readline() == b"ready\n"
    return folder, server


def _serve(folder: Path) -> None:
    """Fork a job for each client until nobody is left who could start one."""
    gc.disable()
    for name in IMPORTED:
        import_module(name)
    assert "roftmol" not in sys.modules
    gc.freeze()  # or each job would look through what it shares with the others, and so copy it
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen(16)
        print("ready", flush=True)
        while listener in select.select([sys.stdin, listener], [], [])[0]:
            client, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _attend(client)
                return
            client.close()
            while _reaped():
                pass
    shutil.rmtree(folder)


def _reaped() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] > 0
    except ChildProcessError:
        return False


def _attend(client: socket.socket) -> None:
    """Run the client's job in a process of its own, and tell the client how that ended."""
    _, streams, _, _ = socket.recv_fds(client, 1, 3)
    with client.makefile() as asked:
        arguments, folder, variables = json.loads(asked.read())
    if job := os.fork():
        client.sendall(str(os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])).encode())
        os._exit(0)
    client.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    gc.enable()
    option, module, *rest = arguments
    assert option == "-m", arguments
    sys.argv = [module, *rest]
    sys.path[0:1] = [folder, *variables["PYTHONPATH"].split(":")]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
