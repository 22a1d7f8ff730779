"""From the textbook CNN to a network for the catalogue: what each step brings, on the clothing photographs.

    python benchmarks/ladder.py [--data ../shared/data/clothing] [--seeds 0 1 2] [--only RUNG ...] [--json FILE]

Networks are trained on train/ and chosen by validation/. Then train/ is the corpus, validation/ are the queries, and
relevant is the same class; every row goes through `encoder build`, `nightly` and `evaluate`. Hours of work for three
seeds: what is done stays in the folder `--work`, and the next call goes on from there.
"""

from __future__ import annotations

import itertools
import json
import shutil
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import common
import numpy as np

from lookalike.encoder.build import NetworkChoice, Sample, build_encoder
from lookalike.evaluate.job import evaluate
from lookalike.evaluate.summary import ClassSizes, per_class
from lookalike.model.encoder.export import BundleRecipe
from lookalike.model.encoder.post_processing import (
    DatabaseAugmentation,
    PostProcessing,
    QueryExpansion,
    Reranking,
)
from lookalike.model.images.test_time_augmentation import TestTimeAugmentation
from lookalike.nightly.run import nightly
from lookalike.train.config import load_train_config
from lookalike.train.job import train
from lookalike.train.run_folder import METRICS

CONFIG = Path(__file__).parent.parent / "config"
WHOLE_PICTURE = "decode|pad_square(255)|resize(256,256)|normalize(127,128)"
"""That of config/train-head.yaml."""
MEASURES = {"hit rate at 1": "hit_rate@1", "MAP@R": "map@r", "mAP": "map"}
AS_TRAINED: dict[str, Any] = {}
PRETRAINED = {"network": "efficientnet_lite0", "preprocessing": WHOLE_PICTURE}
CLASSES = {"projection": "lda", "label": "directory"}
MIRRORED = {"test_time_augmentation": TestTimeAugmentation(flip=True)}
EXPANDED = {"post_processing": PostProcessing(query_expansion=QueryExpansion(k=10))}


@dataclass(frozen=True)
class Rung:
    """One step of the ladder.

    Attributes:
        training: name of the runs, the job file in config/, and what is set otherwise; None for no training.
        build: arguments of `build_encoder`.
        variants: the first is the row; another is measured to be compared with it.
    """

    training: tuple[str, str, tuple[str, ...]] | None
    build: dict[str, Any] = field(default_factory=dict)
    variants: tuple[str, ...] = ("int8",)


BASELINE = ("baseline", "train-baseline.yaml", ())
RESIDUAL = (
    "residual",
    "train-finetune.yaml",
    (
        "network.name=residual",
        "network.preprocessing=null",
        "epochs=12",
        "optimizer.learning_rate=0.001",
        "statistics=auto",
    ),
)
HEAD = ("head", "train-head.yaml", ())
LITE0 = ("network.name=efficientnet_lite0", f"network.preprocessing={WHOLE_PICTURE}", "epochs=12")
CROPPED = (
    "cropped",
    "train-finetune.yaml",
    ("network.name=efficientnet_lite0", "network.preprocessing=null", "epochs=12"),
)
FINE_TUNED = ("finetuned", "train-finetune.yaml", LITE0)
BALANCED = ("balanced", "train-finetune.yaml", (*LITE0, "imbalance.sampling=square_root"))
LARGER = ("lite2", "train-finetune.yaml", ())
BOTH = ("int8", "float")
RUNGS = {
    "baseline CNN": Rung(BASELINE),
    "residual network from scratch": Rung(RESIDUAL),
    "Lite0 pretrained, its own crop": Rung(None, {"network": "efficientnet_lite0", "dim": 0}),
    "Lite0 pretrained, whole picture": Rung(None, {**PRETRAINED, "dim": 0}),
    "+ PCA to 256": Rung(None, PRETRAINED),
    "+ LDA head": Rung(None, {**PRETRAINED, **CLASSES}),
    "NormSoftmax head only": Rung(HEAD),
    "fine-tuned, its own crop": Rung(CROPPED),
    "fine-tuned": Rung(FINE_TUNED, AS_TRAINED, BOTH),
    "+ balanced sampling": Rung(BALANCED),
    "fine-tuned, query expansion": Rung(FINE_TUNED, EXPANDED),
    "fine-tuned, query expansion, mirrored view": Rung(FINE_TUNED, {**MIRRORED, **EXPANDED}, BOTH),
    "fine-tuned Lite2": Rung(LARGER, AS_TRAINED, BOTH),
    "fine-tuned Lite2, query expansion": Rung(LARGER, EXPANDED),
}
EFFECTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "whitened PCA": {"projection": "whitened"},
    "LDA": CLASSES,
    "mirrored": MIRRORED,
    "scale 1.1": {"test_time_augmentation": TestTimeAugmentation(scales=(1.1,))},
    "scales 1 and 1.1": {"test_time_augmentation": TestTimeAugmentation(scales=(1.0, 1.1))},
    "augmentation 10,3": {
        "post_processing": PostProcessing(database_augmentation=DatabaseAugmentation(k=10))
    },
    "expansion 10,3": EXPANDED,
    "both 10,3": {
        "post_processing": PostProcessing(
            database_augmentation=DatabaseAugmentation(k=10), query_expansion=QueryExpansion(k=10)
        )
    },
    "re-ranking 100": {"post_processing": PostProcessing(reranking=Reranking(short_list=100))},
}
"""Each alone, on the network without training (PCA to 256) and on the fine-tuned one of the first seed."""


class Ladder:
    """What has been measured, in a folder that the next call goes on from."""

    def __init__(self, data: Path, work: Path) -> None:
        self.data, self.work, self.path = data, work, work / "figures.json"
        work.mkdir(parents=True, exist_ok=True)
        self.figures: dict[str, dict[str, float]] = (
            json.loads(self.path.read_text()) if self.path.exists() else {}
        )

    def climb(self, name: str, rung: Rung, seed: int) -> None:
        """Trains, builds and measures one rung with one seed, unless that was done before."""
        for variant in rung.variants:
            key = f"{name}/{seed}/{variant}"
            if key not in self.figures:
                training = self._train(rung.training, seed) if rung.training else {}
                self.figures[key] = self._measure({**training, **rung.build}, variant)
                if rung.training:
                    self.figures[key] |= self._of_training(Path(training["network"]))
                self.path.write_text(json.dumps(self.figures, indent=1))

    def effect(self, name: str, step: dict[str, Any], seed: int) -> None:
        """Measures one step alone on both networks."""
        for network in ("pretrained", "fine-tuned"):
            key = f"effect {name}/{network}"
            if key not in self.figures:
                base = PRETRAINED if network == "pretrained" else self._train(FINE_TUNED, seed)
                self.figures[key] = self._measure({**base, **step}, "int8")
                self.path.write_text(json.dumps(self.figures, indent=1))

    def _train(self, training: tuple[str, str, tuple[str, ...]], seed: int) -> dict[str, str]:
        name, file, settings = training
        run = self.work / f"{name}-{seed}"
        folders = (f"corpus.shards={self.data / 'train'}", f"validation.shards={self.data / 'validation'}")
        train(load_train_config(CONFIG / file, [*settings, *folders, f"run={run}", f"seed={seed}"]))
        return {"network": str(run)}

    def _measure(self, build: dict[str, Any], variant: str) -> dict[str, float]:
        train_, encoder, store = self.data / "train", self.work / "encoder", self.work / "store"
        for folder in (encoder, store):
            shutil.rmtree(folder, ignore_errors=True)
        choice = NetworkChoice(build.pop("network"))
        recipe = BundleRecipe(
            choice.title,
            dim=choice.default_dim(build.get("projection")) or None,
            variant=variant,
            **build,
        )
        build_encoder(encoder, choice, Sample(str(train_)), recipe)
        job = common.job(train_, encoder, store)
        nightly(job)
        (found,) = evaluate(job, str(self.data / "validation"), "directory")
        classes = per_class(found, ClassSizes())
        micro = {name: float(np.mean(found.per_query[of])) for name, of in MEASURES.items()}
        macro = {f"macro {name}": float(np.mean(classes[of])) for name, of in MEASURES.items()}
        return micro | macro

    def _of_training(self, run: Path) -> dict[str, float]:
        """Minutes of its steps, and retrieval among the images of validation alone, which no step has seen."""
        said = json.loads((run / METRICS).read_text())
        names = {"hit rate at 1": "hit_rate_at_1", "MAP@R": "map_at_r", "mAP": "map"}
        unseen = {f"unseen {name}": said[of] for name, of in names.items()}
        return {"minutes": sum(epoch["seconds"] for epoch in said["history"]) / 60, **unseen}

    def rows(self, rungs: Iterable[str], seeds: list[int]) -> list[dict[str, Any]]:
        """Means over the seeds that there are, with the spread between the lowest and the highest."""
        rows = []
        for rung in rungs:
            found = [self.figures[key] for seed in seeds if (key := f"{rung}/{seed}/int8") in self.figures]
            if not found:
                continue
            row: dict[str, Any] = {"rung": rung, "seeds": len(found)}
            for name in (name for name in found[0] if not name.startswith("unseen")):
                values = [figures[name] for figures in found]
                row[name] = round(statistics.mean(values), 4)
                if name in MEASURES:
                    row[f"{name}, spread"] = round(max(values) - min(values), 4)
            row.setdefault("minutes", 0.0)
            rows.append(row)
        return rows

    def each_seed(self, rungs: Iterable[str], seeds: list[int]) -> list[dict[str, Any]]:
        """What every trained network came to, int8; among the images of validation alone, float."""
        return [
            {"rung": rung, "seed": seed, **{name: round(value, 4) for name, value in figures.items()}}
            for rung, seed in itertools.product(rungs, seeds)
            if "minutes" in (figures := self.figures.get(f"{rung}/{seed}/int8", {}))
        ]

    def differences(self, rungs: Iterable[str], seeds: list[int]) -> list[dict[str, Any]]:
        """int8 against float, for each seed."""
        return [
            {
                "rung": rung,
                "seed": seed,
                **{
                    f"{name}, {variant}": round(self.figures[f"{rung}/{seed}/{variant}"][name], 4)
                    for name in MEASURES
                    for variant in BOTH
                },
            }
            for rung, seed in itertools.product(rungs, seeds)
            if f"{rung}/{seed}/float" in self.figures
        ]

    def effects(self) -> list[dict[str, Any]]:
        """Both networks, a row for each step."""
        return [
            {"network": network, "step": step, **{k: round(v, 4) for k, v in self.figures[key].items()}}
            for network in ("pretrained", "fine-tuned")
            for step in EFFECTS
            if (key := f"effect {step}/{network}") in self.figures
        ]


def main() -> None:
    """Measures and prints."""
    parser = common.parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[*RUNGS, "effects"],
        metavar="RUNG",
        help="these rungs, or effects; the rest as found",
    )
    parser.add_argument("--work", type=Path, default=Path("runs/ladder"), help="folder to go on from")
    arguments = parser.parse_args()
    ladder = Ladder(arguments.data, arguments.work)
    # One seed of everything first, so that half a ladder is a whole one.
    for seed, (name, rung) in itertools.product(arguments.seeds, RUNGS.items()):
        if not arguments.only or name in arguments.only:
            ladder.climb(name, rung, seed if rung.training else arguments.seeds[0])
    if not arguments.only or "effects" in arguments.only:
        for name, step in EFFECTS.items():
            ladder.effect(name, step, arguments.seeds[0])
    tables = [
        ("Retrieval by class on the clothing photographs, int8", ladder.rows(RUNGS, arguments.seeds)),
        ("Each seed, int8", ladder.each_seed(RUNGS, arguments.seeds)),
        ("int8 and float", ladder.differences(RUNGS, arguments.seeds)),
        ("One step alone", ladder.effects()),
    ]
    common.show([(title, rows) for title, rows in tables if rows], arguments.json)


if __name__ == "__main__":
    main()
