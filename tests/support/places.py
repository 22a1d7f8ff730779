"""Where things are."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The repository."""
CONFIG = ROOT / "config"
DOCS = ROOT / "docs"
GOLDEN = ROOT / "tests" / "golden"
CLOTHING = ROOT.parent / "shared" / "data" / "clothing"
"""Photographs, where there are any."""


def module_name(path: Path) -> str:
    """The name by which the file `path` of model/ or pipelines/ is imported."""
    top, *parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(
        ["lookalike", *(["model"] if top == "model" else []), *(p for p in parts if p != "__init__")]
    )
