"""What the benchmark scripts share: arguments, a job, a table."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

from lookalike.cli import logs
from lookalike.config.job import Config
from lookalike.encoder.build import NetworkChoice, Sample, build_encoder
from lookalike.model.encoder.export import BundleRecipe

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a command compiles the package once, not at every start

CLOTHING = Path(__file__).parent.parent.parent / "shared" / "data" / "clothing"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Arguments that every script has."""
    logs.set_up()
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--data", type=Path, default=CLOTHING, help="folder with train/ and validation/")
    made.add_argument("--json", type=Path, help="also write the figures to this file")
    return made


def job(shards: Path, encoder: Path, store: Path, **sections: Any) -> Config:
    """A job on local folders."""
    return Config.model_validate(
        {"corpus": {"shards": str(shards)}, "encoder": str(encoder), "store": str(store), **sections}
    )


def build_default_encoder(out: Path, data: Path) -> None:
    """EfficientNet-Lite0, calibrated on data/train."""
    build_encoder(out, NetworkChoice(), Sample(str(data / "train")), BundleRecipe("efficientnet_lite0"))


def show(tables: list[tuple[str, list[dict[str, Any]]]], path: Path | None) -> None:
    """Prints tables of (title, rows), and writes them to `path` with what machine they come from."""
    from rich.console import Console
    from rich.table import Table

    for title, rows in tables:
        table = Table(title=title)
        for name in rows[0]:
            table.add_column(name, justify="left" if isinstance(rows[0][name], str) else "right")
        for row in rows:
            table.add_row(*(_text(value) for value in row.values()))
        Console(width=140).print(table)
    if path:
        machine = {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()}
        figures = {"machine": machine, "tables": dict(tables)}
        path.write_text(json.dumps(figures, indent=1) + "\n")


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
