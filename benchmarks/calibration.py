"""How far probabilities can be trusted: on queries they were not fitted to, at another depth, on another corpus.

    python benchmarks/calibration.py [--encoder FOLDER] [--data ../shared/data/clothing] [--json FILE]

The catalogue is train/; relevant is the same class. A calibration is fitted with the catalogue's own items as queries,
each asked for without itself, and tried on validation/, at `query.k` 10, and at 100, which it was not fitted for. It is
then tried, unchanged, on two other catalogues: a tenth of train/, and train/ as pencil drawings, which
`domain_images.py` makes, asked for with validation/ as pencil drawings; and fitted anew there.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import common
from domains import draw

from lookalike.config.job import Config
from lookalike.evaluate.calibration import figures
from lookalike.evaluate.job import evaluate
from lookalike.evaluate.measurements import Settings
from lookalike.model.encoder.calibration import Calibration, calibration_json
from lookalike.model.encoder.manifest import CALIBRATION
from lookalike.nightly.run import nightly

ROWS = [
    "the catalogue's items, cross-validated",
    "validation",
    "validation, cross-validated",
    "validation, at 100, fitted at 10",
    "a tenth of the catalogue",
    "a tenth of the catalogue, fitted anew",
    "drawings",
    "drawings, fitted anew",
]


def served(corpus: Path, encoder: Path, store: Path, k: int = 10) -> Config:
    """A job whose corpus is embedded and published."""
    job = common.job(corpus, encoder, store, query={"k": k})
    nightly(job)
    return job


def items_of(folder: Path, work: Path) -> Path:
    """A file with the id of each image of a folder."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    path = work / f"{folder.name}.txt"
    path.write_text("\n".join(names))
    return path


class Table:
    """Rows of figures, each of one evaluation."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []

    def add(self, job: Config, queries: Path, *, fit: bool = False) -> Calibration:
        """The next row; what was fitted for it."""
        (found,) = evaluate(job, str(queries), "directory", Settings(calibrate=fit))
        assert found.calibrated
        told = figures(found.calibrated)
        self.rows.append(
            {
                "queries": ROWS[len(self.rows)],
                "pairs": told["pairs"],
                "relevant": told["relevant"],
                "method": told["method"],
                "ECE, equal width": told["ece_equal_width"],
                "ECE, equal mass": told["ece_equal_mass"],
                "log loss": told["log_loss"],
                "Brier": told["brier"],
            }
        )
        return found.calibrated.calibration


def put(job: Config, calibration: Calibration) -> None:
    """Lays a calibration beside the job's encoder."""
    Path(job.encoder, CALIBRATION).write_bytes(calibration_json(calibration))


def tenth(source: Path, target: Path) -> None:
    """Every tenth photograph of each class."""
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        (target / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[::10]:
            shutil.copy(path, target / folder.name)


def measure(data: Path, encoder: Path, work: Path) -> list[dict[str, object]]:
    """All rows."""
    table, train, validation = Table(), data / "train", data / "validation"
    job = served(train, encoder, work / "store")
    calibration = table.add(job, items_of(train, work), fit=True)
    put(job, calibration)
    table.add(job, validation)
    table.add(job, validation, fit=True)
    put(job, calibration.model_copy(update={"k": 100}))
    table.add(job, validation)
    put(job, calibration)
    tenth(train, work / "tenth")
    draw(train, work / "pencil-train", "pencil")
    draw(validation, work / "pencil-validation", "pencil")
    for corpus, queries in (("tenth", validation), ("pencil-train", work / "pencil-validation")):
        other = served(work / corpus, encoder, work / f"store-{corpus}")
        table.add(other, queries)
        table.add(other, queries, fit=True)
    return table.rows


def main() -> None:
    """Measures and prints."""
    parser = common.parser(__doc__)
    parser.add_argument("--encoder", type=Path, help="a bundle; default EfficientNet-Lite0, built on train/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        encoder = Path(work, "encoder")
        if arguments.encoder:
            shutil.copytree(arguments.encoder, encoder)
        else:
            common.build_default_encoder(encoder, arguments.data)
        rows = measure(arguments.data, encoder, Path(work))
    common.show([("Probabilities, clothing photographs, relevant is the same class", rows)], arguments.json)


if __name__ == "__main__":
    main()
