"""Retrieval in other domains: scans with and without a window, photographs asked for by drawings.

    python benchmarks/domains.py [--data ../shared/data/clothing] [--json FILE]

Scans are synthetic (`domain_images.py`): six textures that differ by 40 Hounsfield units in files of 4,000. The corpus
is 50 of each, the queries are 20 others of each.

Drawings are made from the clothing photographs. The corpus is train/, as photographs; the queries are validation/, as
photographs and as drawings; relevant is the same class. A head is trained on the photographs of train/, another on
these and pencil drawings of them; ink drawings are in no training.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import common
import pyarrow.compute as pc
from domain_images import SOFT_TISSUE, STYLES, TISSUES, drawing, scan_file

from lookalike.config.job import Config
from lookalike.encoder.build import NetworkChoice, Sample, build_encoder
from lookalike.evaluate.job import evaluate
from lookalike.model.encoder.export import BundleRecipe
from lookalike.nightly.run import nightly
from lookalike.train.config import TrainConfig
from lookalike.train.job import train

REST = "resize_short(256)|center_crop(224)|normalize(127,128)"


def figures(job: Config, queries: Path) -> dict[str, float]:
    """Of a served job and a folder with a folder of queries for each class."""
    (found,) = evaluate(job, str(queries), "directory")
    means = {
        name: pc.mean(found.per_query[of]).as_py()
        for name, of in (("hit rate at 1", "hit_rate@1"), ("mAP", "map"))
    }
    return {"queries": len(found.per_query), **means}


def served(corpus: Path, work: Path, name: str, network: NetworkChoice) -> Config:
    """A job with an encoder built for this corpus, embedded and published."""
    build_encoder(work / f"encoder-{name}", network, Sample(str(corpus)), BundleRecipe(network.title))
    job = common.job(corpus, work / f"encoder-{name}", work / f"store-{name}")
    nightly(job)
    return job


def scans(work: Path) -> list[dict[str, object]]:
    """A row for each kind of file and window."""
    center, width = SOFT_TISSUE
    windows = {
        "dicom": ["", f"window({center},{width})|", "window_percentile(1,99)|"],
        # As stored: 1024 is 0 HU.
        "png": ["", f"window({center + 1024},{width})|", "window_percentile(1,99)|"],
    }
    rows: list[dict[str, object]] = []
    for form, specs in windows.items():
        for name, numbers in (("corpus", range(50)), ("queries", range(50, 70))):
            for tissue in TISSUES:
                folder = work / form / name / tissue
                folder.mkdir(parents=True)
                for number in numbers:
                    (folder / f"{number}{'.dcm' if form == 'dicom' else '.png'}").write_bytes(
                        scan_file(tissue, number, form)
                    )
        for number, window in enumerate(specs):
            job = served(
                work / form / "corpus",
                work,
                f"{form}-{number}",
                NetworkChoice(preprocessing=f"decode|{window}{REST}"),
            )
            row: dict[str, object] = {"file": form, "window": window.rstrip("|") or "none"}
            rows.append(row | figures(job, work / form / "queries"))
    return rows


def draw(source: Path, target: Path, style: str) -> None:
    """A drawing of each photograph, under the same name with another ending."""
    for path in sorted(source.rglob("*.jpg")):
        to = (target / path.relative_to(source)).with_suffix(".png")
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(drawing(path.read_bytes(), style))


def head(work: Path, name: str, training: Iterable[Path], validation: Iterable[Path]) -> str:
    """Trains as config/train-drawn.yaml does; the folder of the run."""
    job = {
        "run": str(work / f"run-{name}"),
        "corpus": {"shards": [str(path) for path in training]},
        "validation": {"shards": [str(path) for path in validation]},
        "train": "head",
        "epochs": 30,
        "batch_size": 128,
        "optimizer": {"learning_rate": 0.001, "warmup_epochs": 1},
    }
    train(TrainConfig.model_validate(job))
    return str(job["run"])


def drawings(data: Path, work: Path) -> list[dict[str, object]]:
    """A row for each encoder and kind of query."""
    queries = {"photographs": data / "validation"}
    for style in STYLES:
        queries[f"{style} drawings"] = work / f"{style}-validation"
        draw(data / "validation", queries[f"{style} drawings"], style)
    draw(data / "train", work / "pencil-train", "pencil")
    photographs = [data / "train"], [data / "validation"]
    drawn = [work / "pencil-train"], [work / "pencil-validation"]
    rows: list[dict[str, object]] = []
    for name, network in (
        ("no training", lambda: "efficientnet_lite0"),
        ("head on photographs", lambda: head(work, "photographs", *photographs)),
        (
            "head on photographs and pencil",
            lambda: head(work, "both", photographs[0] + drawn[0], photographs[1] + drawn[1]),
        ),
    ):
        job = served(data / "train", work, name.replace(" ", "-"), NetworkChoice(network()))
        first: float | None = None
        for kind, folder in queries.items():
            row = figures(job, folder)
            first = first or row["mAP"]
            rows.append({"encoder": name, "queries are": kind, **row, "mAP lost": 1 - row["mAP"] / first})
    return rows


def main() -> None:
    """Measures and prints."""
    parser = common.parser(__doc__)
    parser.add_argument("--only", choices=("scans", "drawings"), help="one of the two tables")
    arguments = parser.parse_args()
    tables = []
    work = Path(tempfile.mkdtemp())
    try:
        if arguments.only != "drawings":
            tables.append(("Synthetic scans, EfficientNet-Lite0, no training", scans(work)))
        if arguments.only != "scans":
            tables.append(("Clothing photographs, asked for by drawings", drawings(arguments.data, work)))
    finally:
        shutil.rmtree(work)
    common.show(tables, arguments.json)


if __name__ == "__main__":
    main()
