"""A night on Prism, Beam's portable runner, with workers that it starts and with such that run already."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT

SCRIPT = ROOT / "tests" / "support" / "portable.sh"
BUILT = Path(os.environ.get("LOOKALIKE_PRISM", ROOT / ".prism"))
ALONE = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "true"]
WORKERS = {
    "EXTERNAL": ["--environment_type=EXTERNAL", "--environment_config=localhost:50000"],
    "PROCESS": ["--environment_type=PROCESS", "--environment_option=process_command={boot}"],
}


def may_be_alone() -> bool:
    try:
        return subprocess.run(ALONE, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (BUILT / "prism").exists(), reason=f"Prism is not built: tests/support/portable.sh build {BUILT}"
    ),
    pytest.mark.skipif(
        not may_be_alone(), reason="Prism listens on all interfaces, and this user may make no network"
    ),
]


@pytest.mark.parametrize("workers", WORKERS)
def test_a_night_on_prism_makes_what_one_process_makes(job, pictures, tmp_path, workers):
    job.pack(pictures, per_shard=4)
    assert job.run("nightly").code == 0
    boot = tmp_path / "boot.sh"
    boot.write_text(f'#!/bin/sh\nexec {SCRIPT} boot {BUILT} "$@"\n')
    boot.chmod(0o755)
    store = tmp_path / "portable"
    done = subprocess.run(
        [
            *(SCRIPT, "serve", BUILT, sys.executable, "-m", "lookalike", "nightly", "-c", job.config),
            *("--set", f"store={store}", "--", "--runner=PortableRunner", "--job_endpoint=localhost:8073"),
            *(flag.format(boot=boot) for flag in WORKERS[workers]),
        ],
        env=os.environ | {"PYTHON": sys.executable, "LOG": str(tmp_path / "log")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, (done.stderr, (tmp_path / "log").read_text())
    for kind in ("embeddings/*/*.parquet", "indexes/*/*.npy", "indexes/*/serialized*"):
        local = {path.relative_to(job.store): path.read_bytes() for path in job.store.glob(kind)}
        assert {path.relative_to(store): path.read_bytes() for path in store.glob(kind)} == local
        assert local or "serialized" in kind
