"""What the pages presuppose, small: photographs, a catalogue of them, an encoder, a store, questions."""

from __future__ import annotations

import csv
import shutil
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import picture, run
from tests.support.places import CONFIG, ROOT

DRESS, HAT, SHOES = "dress", "hat", "shoes"
PHOTOS = {
    DRESS: [
        "07cddef1-1fc8-47e4-a28a-613e60912590",
        "19e4de0d-fb90-47c2-83b4-37e3652c5a16",
        "bed38b7f-0a9e-46af-864c-a790aebcc330",
        "0001",
        *map(str, range(7)),
    ],
    HAT: ["014b2a1b-c5a0-469b-b115-bc02b2001db5", *map(str, range(6))],
    SHOES: ["24535295-abe3-4613-91f6-a7fe87954662", *map(str, range(6))],
    "pants": ["37a0cfa8-0f10-405a-8d48-838a3d687620"],
    "cats": ["16", "17", "18"],
    "": ["P0100-front", "P0100-detail", "P0200-front", "P0200-detail"],
}
"""By folder. Some have the ids that a page names."""
TYPES = {"category": "string", "kind": "string", "price": "float64", "product": "string", "sales": "int64"}
STANDING = [{"name": name, "queries": "wanted", "k": 5} for name in ("wanted", "new-arrivals")]
CATALOGUES = ("nightly", "job", "other", "before", "after", "a", "b", "street", "photographs", "drawings")
"""Job files on the catalogue, by the names that pages give them."""
FEW = ("asked", "one", "wanted")
"""Folders of two photographs that ask."""
QUESTIONS = (
    "validation",
    "shop",
    "street",
    "shop-queries",
    "street-queries",
    "photographs/validation",
    "drawings/validation",
)
"""Folders of photographs that ask, a folder for each class."""


def new_user(folder: Path) -> None:
    """What someone has who has just cloned the repository: photographs, and the job files of config/."""
    shutil.copytree(CONFIG, folder / "config")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "docs").symlink_to(ROOT / "docs")
    seed = 0
    for category, names in PHOTOS.items():
        for name in names:
            write(folder / "photos" / category / f"{name}.jpg", seed := seed + 1)
    for number in range(3):
        write(folder / "arrivals" / f"{number}.jpg", 100 + number)
        write(folder / "queries" / f"dress-{number}.jpg", 200 + number)


def shop(folder: Path, encoder: Path) -> None:
    """The same some nights later: encoder, store, job files, questions."""
    new_user(folder)
    shutil.copytree(encoder, folder / "encoders" / "lite0")
    (folder / "encoder").symlink_to("encoders/lite0")
    photos = sorted(path.relative_to(folder / "photos") for path in (folder / "photos").rglob("*.jpg"))
    with open(folder / "photos.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", *TYPES])
        for number, path in enumerate(photos):
            category = path.parent.name or HAT
            table.writerow([path, category, category, 10 + 3 * number, path.name.partition("-")[0], number])
    write_job(folder / "shop.yaml", {"shards": "photos"})
    for name in CATALOGUES:
        write_job(folder / f"{name}.yaml", {"shards": "catalogue/*.tfrecord", "metadata": TYPES})
    shutil.copy(folder / "nightly.yaml", folder / "config" / "nightly.yaml")
    for number, name in enumerate(FEW):
        write(folder / name / "dress.jpg", 300 + number)
        write(folder / name / "shoes.jpg", 310 + number)
    for number, name in enumerate(QUESTIONS):
        for category in PHOTOS:
            write(folder / name / category / "asked.jpg", 400 + number)
    for number, name in enumerate(("photo", "a", "b")):
        write(folder / f"{name}.jpg", 510 + number)
    write(folder / "validation" / "pants" / "012d1ca9-baaf-4b01-8b60-955f3408b1b7.jpg", 501)
    (folder / "ids.txt").write_text("cats/18.jpg\n")
    (folder / "mistakes.txt").write_text("cats/16.jpg\n")
    with chdir(folder):
        metadata = ["--metadata", "photos.csv", *(f"--type={name}={kind}" for name, kind in TYPES.items())]
        for command in (
            ["pack", "photos", "catalogue", *metadata],
            ["pack", "photos", "shards"],
            ["nightly", "-c", "shop.yaml"],
            ["nightly", "-c", "nightly.yaml"],
            ["query", "-c", "nightly.yaml", "queries", "-o", "answers"],
            ["exclude", "add", "-c", "nightly.yaml", "--from", "mistakes.txt"],
        ):
            done = run(*command)
            assert done.code == 0, done


def write(path: Path, seed: int) -> None:
    """A picture of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(seed, 160, 120))


def write_job(path: Path, corpus: dict[str, Any]) -> None:
    """A job file with everything where the pages have it."""
    job = {"corpus": corpus, "encoder": "encoders/lite0", "store": "store", "standing": STANDING}
    path.write_text(yaml.safe_dump(job))
