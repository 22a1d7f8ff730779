"""A shell in which `lookalike` runs in this process, so that a command takes what it takes and no start of Python."""

from __future__ import annotations

import json
import os
import shlex
import socketserver
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

from tests.conftest import run

_CLIENT = """#!{python} -IS
import json, os, socket, sys
asked = json.dumps([os.getcwd(), sys.argv[1:]]).encode()
with socket.socket(socket.AF_UNIX) as channel:
    channel.connect({address!r})
    channel.sendall(asked + b"\\n")
    code, out, err = json.load(channel.makefile())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""

IDLE = ("apt-get", "journalctl", "pip", "sudo", "systemctl", "useradd")
"""Programs that do nothing here: they change the machine, or are not on every one."""


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        folder, arguments = json.loads(self.rfile.readline())
        with chdir(folder):
            done = run(*arguments)
        self.wfile.write(json.dumps([done.code, done.out, done.err]).encode())


class Shell:
    """Runs lines of Bash.

    Args:
        folder: for what it needs.
    """

    def __init__(self, folder: Path) -> None:
        self._server = socketserver.UnixStreamServer(str(folder / "s"), _Handler)
        self._server.timeout = 0.01
        programs = folder / "bin"
        programs.mkdir()
        client = _CLIENT.format(python=sys.executable, address=str(folder / "s"))
        for name, text in {"lookalike": client, **dict.fromkeys(IDLE, "#!/bin/sh\n")}.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        first = [str(programs), os.path.dirname(sys.executable)]
        self._environment = os.environ | {
            "PIP_NO_INDEX": "1",
            "PATH": os.pathsep.join([*first, os.environ["PATH"]]),
        }

    def __call__(self, line: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Runs a line in a folder; output and errors are one text."""
        command = ["bash", "-c", f"set -o pipefail\n{line}"]
        with open(folder / ".output", "w+") as output:
            process = subprocess.Popen(
                command, cwd=folder, env=self._environment, stdout=output, stderr=output
            )
            while process.poll() is None:
                self._server.handle_request()
            output.seek(0)
            return subprocess.CompletedProcess(shlex.join(command), process.returncode, output.read())

    def close(self) -> None:
        self._server.server_close()
