"""A network for OpenVINO that was made before: quantising one takes seconds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from lookalike.model.digests import sha256_file
from lookalike.model.encoder.manifest import manifest_digest
from tests.support.places import ROOT

XML, WEIGHTS = (
    (ROOT / "tests/golden/openvino" / name).read_bytes() for name in ("openvino.xml", "openvino.bin")
)
"""Of the tiny network of tests/conftest.py, from eight pictures to 32 features."""


def with_openvino(encoder: Path, out: Path, instructions: str = "avx2") -> Path:
    """A copy of the tiny encoder that uses it."""
    shutil.copytree(encoder, out)
    (out / "openvino.xml").write_bytes(XML)
    (out / "openvino.bin").write_bytes(WEIGHTS)
    manifest = json.loads((out / "encoder.json").read_text())
    manifest |= {"variant": "openvino", "instructions": instructions}
    manifest["files"] |= {name: sha256_file(out / name) for name in ("openvino.xml", "openvino.bin")}
    manifest["digest"] = manifest_digest(manifest)
    (out / "encoder.json").write_text(json.dumps(manifest))
    return out
