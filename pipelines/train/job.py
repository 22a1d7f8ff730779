"""The training job: images and labels in, a run folder with a network out."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from lookalike.model import imports
from lookalike.model.digests import sha256_file, sha256_json
from lookalike.model.errors import LookalikeError
from lookalike.model.images.preprocess import Preprocess, parse_spec
from lookalike.model.training.checkpoints import Checkpoint, refuse_other

from ..config.yaml_text import yaml_text
from ..filesystem import files
from . import run_folder
from .config import TrainConfig
from .data import Spool, TrainingData, read_training_data
from .report import TrainSummary, draw_curves, model_card
from .run_folder import Run

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Training:
    """What a training begins with.

    Attributes:
        job: what to do.
        folder: of the run.
        data: images and labels.
        backbone: as `model.networks.backbone` gives it.
        preprocess: for the backbone.
        identity: what decides the result.
    """

    job: TrainConfig
    folder: Path
    data: TrainingData
    backbone: Any
    preprocess: Preprocess
    identity: dict[str, Any]


def train(job: TrainConfig, fresh: bool = False) -> TrainSummary:
    """Trains, or goes on with what an earlier run left behind in the same folder.

    Args:
        job: what to do.
        fresh: delete what is in the folder, once it is clear that training can begin.

    Raises:
        LookalikeError: if the folder is of another training or another one is at work there, the images are not
            enough, or the loss is not finite.
        OSError: if a file system fails.
    """
    started = time.monotonic()
    folder = Path(job.run)
    with run_folder.held(folder):
        run = None if fresh else run_folder.read_run(folder)
        if run is not None:
            _refuse_other_settings(run.identity, job, folder / run_folder.RUN)
            run_folder.trained_network(folder)
            return TrainSummary(folder, run, time.monotonic() - started, True, 0, [], False)
        checkpoint = Checkpoint(folder / run_folder.CHECKPOINT)
        begun = None if fresh else checkpoint.load()
        if begun is not None:
            identity = begun[1].get("identity")
            if not isinstance(identity, dict):
                raise checkpoint.damaged("no identity of a training")
            _refuse_other_settings(identity, job, checkpoint.path)
        run, data = _train(job, folder, fresh)
    seconds = time.monotonic() - started
    rejected, damaged = data.rejects.num_rows, bool(data.damaged)
    return TrainSummary(folder, run, seconds, False, rejected, data.notices(), damaged)


def _refuse_other_settings(identity: dict[str, Any], job: TrainConfig, path: Path) -> None:
    settings = job.decides()
    images = ("training images", "validation images", "weights")
    refuse_other({key: value for key, value in identity.items() if key not in images}, settings, str(path))


def _train(job: TrainConfig, folder: Path, fresh: bool) -> tuple[Run, TrainingData]:
    from lookalike.model.networks import backbone
    from lookalike.model.training.assembly import embedder
    from lookalike.model.training.loop import seed_everything
    from lookalike.model.training.losses import build_loss

    seed_everything(job.seed)
    build_loss(job.loss.name, **job.loss.options)
    wanted = job.network
    base = backbone(
        wanted.name,
        wanted.pooling,
        weights=wanted.weights,
        layer=wanted.layer,
        preprocessing=wanted.preprocessing,
        seed=job.seed,
    )
    if job.train == "head" and not base.pretrained:
        raise LookalikeError(
            "Expected a network with trained weights for train: head, which trains nothing else. "
            f"Received: {wanted.name}"
        )
    network = embedder(base, wanted.dim)
    preprocess = parse_spec(base.preprocessing)
    spool = Spool(folder, preprocess, job.corpus.max_pixels)
    try:
        logger.info("reading the images")
        data = read_training_data(job, spool)
        if not fresh:
            pq.write_table(data.rejects, folder / run_folder.REJECTS)
        data.check(job)
        if fresh:
            run_folder.clear(folder)
            pq.write_table(data.rejects, folder / run_folder.REJECTS)
        config = yaml_text(job.model_dump(mode="json"))
        files.write_bytes(str(folder / run_folder.CONFIG), config.encode())
        _tell(data)
        identity = {
            **job.decides(),
            "training images": f"{len(data.training.ids)}, digest {data.training.digest()[:16]}",
            "validation images": f"{len(data.validation.ids)}, digest {data.validation.digest()[:16]}",
            "weights": _digest_of(base.network)[:16],
        }
        training = _Training(job, folder, data, base, preprocess, identity)
        trained, network = _fit(training, network)
    finally:
        spool.close()
    return _write(training, trained, network), data


def _tell(data: TrainingData) -> None:
    logger.info(
        "%d images of %d classes to train on, %d to validate on, %d not used",
        len(data.training.ids),
        data.trained_classes,
        len(data.validation.ids),
        data.rejects.num_rows,
    )
    for notice in data.notices():
        logger.warning(notice)


def _digest_of(network: Any) -> str:
    """SHA-256, in hexadecimal, of a network's weights and layers, whatever they are called."""
    keras = imports.keras()

    layers = []
    for operation in network.operations:
        settings = keras.saving.serialize_keras_object(operation)["config"]
        layers.append([type(operation).__name__, {k: v for k, v in settings.items() if k != "name"}])
    return sha256_json(
        [layers, [[list(w.shape), files.sha256_bytes(w.tobytes())] for w in network.get_weights()]]
    )


def _fit(training: _Training, network: Any) -> tuple[Any, Any]:
    """Trains; gives what `Training.run` does, and the whole network with its weights."""
    from lookalike.model.training.assembly import EMBEDDING, assemble, on_features, policy_of
    from lookalike.model.training.loop import NotFiniteError, Training
    from lookalike.model.training.sampling import class_counts

    from .progress import Shown

    job, folder, data = training.job, training.folder, training.data
    head_only = job.train == "head"
    images, validation, subject = data.training, data.validation, network
    if head_only:
        images, validation = _features(training)
        subject = on_features(network)
    frozen = job.statistics == "frozen" or (job.statistics == "auto" and training.backbone.pretrained)
    assembly = assemble(subject, job, class_counts(images.labels), frozen, policy_of(job.precision))
    with Shown(str(folder / run_folder.TENSORBOARD)) as shown:
        loop = Training(
            assembly,
            job,
            images,
            validation,
            checkpoint=Checkpoint(folder / run_folder.CHECKPOINT),
            identity=training.identity,
            listener=shown,
            preprocess=None if head_only else training.preprocess,
            checkpoint_seconds=60 * job.checkpoint_minutes,
        )
        try:
            trained = loop.run()
        except NotFiniteError as error:
            files.write_bytes(str(folder / run_folder.BAD_BATCH), json.dumps(error.ids).encode())
            raise LookalikeError(f"{error}. All ids: {folder / run_folder.BAD_BATCH}") from None
    if head_only:
        network.get_layer(EMBEDDING).set_weights(trained.network.get_layer(EMBEDDING).get_weights())
    return trained, network


def _features(training: _Training) -> tuple[Any, Any]:
    """What the frozen backbone makes of both sets, kept in the run folder for the next time."""
    from lookalike.model.training.batches import Features, features_of

    data, preprocess = training.data, training.preprocess
    names = ("weights", "training images", "validation images")
    key = sha256_json([preprocess.spec, *(training.identity[name] for name in names)])
    kept = Checkpoint(training.folder / f"{run_folder.FEATURES}{key[:16]}")
    found = kept.load()
    if found is None:
        started = time.monotonic()
        sets = {"training": data.training, "validation": data.validation}
        logger.info(
            "computing what the frozen network makes of %d images", sum(len(s.ids) for s in sets.values())
        )
        arrays = {
            name: features_of(training.backbone.network, images, preprocess) for name, images in sets.items()
        }
        kept.save(arrays, {})
        logger.info(
            "features of %d images in %.1f s", sum(map(len, arrays.values())), time.monotonic() - started
        )
    else:
        arrays, _ = found
        width = training.backbone.network.output_shape[1:]
        for name, images in (("training", data.training), ("validation", data.validation)):
            array = arrays.get(name)
            if array is None or array.shape != (len(images.ids), *width) or array.dtype != np.float32:
                raise kept.damaged(f"other features of the {name} images")
        logger.info("features are there from before")
    return (
        Features(data.training.ids, data.training.labels, arrays["training"]),
        Features(data.validation.ids, data.validation.labels, arrays["validation"]),
    )


def _write(training: _Training, trained: Any, network: Any) -> Run:
    folder, data = training.folder, training.data
    path = folder / run_folder.NETWORK
    temporary = path.with_name(f".{files.TEMPORARY}{path.name}")
    try:
        network.save(temporary)
        files.move_in(str(temporary), str(path))
    finally:
        temporary.unlink(missing_ok=True)
    best = next(row for row in trained.history if row["epoch"] == trained.best_epoch)
    run = Run(
        preprocessing=training.preprocess.spec,
        layer=network.layers[-1].name,
        dim=int(network.output_shape[-1]),
        network_sha256=sha256_file(path),
        classes=data.classes[: data.trained_classes],
        epochs=len(trained.history),
        best_epoch=trained.best_epoch,
        metrics={name: best[name] for name in ("map_at_r", "hit_rate_at_1", "map")},
        identity=training.identity,
    )
    metrics = {"best_epoch": run.best_epoch, **run.metrics, "history": trained.history}
    files.write_bytes(str(folder / run_folder.METRICS), json.dumps(metrics, indent=2).encode() + b"\n")
    draw_curves(trained.history, run.best_epoch, folder / run_folder.CURVES)
    card = model_card(training.job, run, data, trained.history)
    files.write_bytes(str(folder / run_folder.CARD), card.encode())
    run.write(folder)
    Checkpoint(folder / run_folder.CHECKPOINT).delete()
    return run
