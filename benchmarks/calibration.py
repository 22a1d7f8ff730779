"""How far probabilities can be trusted: on queries they were not fitted to, at another depth, on another corpus.

    python benchmarks/calibration.py [--encoder FOLDER] [--data ../shared/data/clothing] [--json FILE]

The catalogue is train/; relevant is the same class. A calibration is fitted with the catalogue's own items as queries,
each asked for without itself, and tried on validation/, at `query.k` 10, and at 100, which it was not fitted for. It is
then tried, unchanged, on two other catalogues: a tenth of train/, and train/ as pencil drawings, which
`domain_images.py` makes, asked for with validation/ as pencil drawings; and fitted anew there.

How much of the error on validation/ is chance, a second table tells: the error (equal width) of samples of as many of
the catalogue's own queries; of validation/'s queries, drawn with repetition; and on validation/ of calibrations that
are fitted to the catalogue's queries, drawn with repetition.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import common
import numpy as np
from domains import draw

from lookalike.config.job import Config
from lookalike.evaluate.calibration import Calibrated, figures
from lookalike.evaluate.job import evaluate
from lookalike.evaluate.measurements import Settings
from lookalike.model.encoder.calibration import Calibration, calibration_json
from lookalike.model.encoder.manifest import CALIBRATION
from lookalike.model.measuring.calibration import METHODS, equal_width
from lookalike.nightly.run import nightly

K = 10
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
        self.found: list[Calibrated] = []

    def add(self, job: Config, queries: Path, *, fit: bool = False) -> Calibration:
        """The next row; what was fitted for it."""
        (found,) = evaluate(job, str(queries), "directory", Settings(calibrate=fit))
        assert found.calibrated
        told = figures(found.calibrated)
        self.found.append(found.calibrated)
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


def stability(train: Calibrated, validation: Calibrated, draws: int = 1000) -> list[dict[str, object]]:
    """What the error on validation might have been; each query has K pairs, one behind the other."""
    random = np.random.default_rng(0)
    near, relevant, probability = (
        getattr(train, of).reshape(-1, K) for of in ("near", "relevant", "probability")
    )
    there, asked = validation.relevant.reshape(-1, K), validation.near.reshape(-1, K)
    told, few = validation.probability.reshape(-1, K), len(there)

    def error(probability: np.ndarray, relevant: np.ndarray) -> float:
        return equal_width(probability.ravel(), relevant.ravel()).error

    def sample() -> float:
        rows = random.choice(len(near), few, replace=False)
        return error(probability[rows], relevant[rows])

    def repeated() -> float:
        rows = random.integers(0, few, few)
        return error(told[rows], there[rows])

    def fitted_anew() -> float:
        rows = random.integers(0, len(near), len(near))
        fitted = METHODS[train.calibration.fitted.method](near[rows].ravel(), relevant[rows].ravel())
        return error(fitted.apply(asked.ravel()), there)

    rows: list[dict[str, object]] = []
    for name, draw_one, count in (
        (f"samples of {few} of the catalogue's queries", sample, draws),
        ("validation's queries, drawn with repetition", repeated, draws),
        ("fitted to the catalogue's queries, drawn with repetition", fitted_anew, draws // 30),
    ):
        errors = np.array([draw_one() for _ in range(count)])
        low, high = np.quantile(errors, [0.05, 0.95])
        rows.append({"error of": name, "mean": errors.mean(), "from": low, "to": high, "draws": count})
    return rows


def measure(data: Path, encoder: Path, work: Path) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """All rows of both tables."""
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
    return table.rows, stability(table.found[0], table.found[1])


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
        rows, draws = measure(arguments.data, encoder, Path(work))
    title = "Probabilities, clothing photographs, relevant is the same class"
    common.show([(title, rows), ("Expected calibration error", draws)], arguments.json)


if __name__ == "__main__":
    main()
