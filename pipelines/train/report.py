"""What a training run tells: its summary, its curves, its model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.model.printable import printable_lines

from ..filesystem import files
from .config import TrainConfig
from .run_folder import CARD, CURVES, NETWORK, REJECTS, Run

if TYPE_CHECKING:
    from .data import TrainingData

    pass

_METRICS = {"map_at_r": "mAP@R", "hit_rate_at_1": "hit rate at 1", "map": "mAP"}


def train_report(summary: TrainSummary) -> str:
    """The summary of a run."""
    run, folder = summary.run, summary.folder
    figures = ", ".join(f"{label} {run.metrics[name]:.4f}" for name, label in _METRICS.items())
    lines = [f"validation   {figures} (epoch {run.best_epoch} of {run.epochs})"]
    lines += [f"NOTICE       {notice}" for notice in summary.notices]
    if summary.rejected:
        lines.append(f"not used     {summary.rejected:,} images: {folder / REJECTS}")
    if summary.finished_before:
        lines.append("finished     before, and the images were not read again; --fresh trains anew")
    else:
        lines.append(f"seconds      {summary.seconds:,.1f}")
    lines += [f"network      {folder / NETWORK}, {run.dim} dimensions", f"model card   {folder / CARD}"]
    lines.append(f"next         lookalike encoder build OUT --network {folder} --sample SHARDS")
    return printable_lines(lines)


def draw_curves(history: Sequence[dict[str, Any]], best_epoch: int, path: Path) -> None:
    """Draws loss, validation and learning rate over the epochs, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    epochs = [row["epoch"] for row in history]
    panels = {"Loss": ["loss"], "Validation": list(_METRICS), "Learning rate": ["learning_rate"]}
    for axes, (title, names) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for name in names:
            axes.plot(epochs, [row[name] for row in history], marker=".", label=_METRICS.get(name))
        axes.axvline(best_epoch, color="0.7", linestyle="--", zorder=0, label="best epoch")
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.margins(y=0.1)
        if len(names) > 1:
            figure.legend(
                *axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False
            )
        if title == "Learning rate":
            axes.set_ylim(bottom=0)
    with files.write_atomic(str(path)) as file:
        FigureCanvasAgg(figure).print_png(file)


def model_card(job: TrainConfig, run: Run, data: TrainingData, history: Sequence[dict[str, Any]]) -> str:
    """The model card, Markdown: data, recipe, figures, limits, use.

    Source of the headings: Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
    """
    trained, validated = data.counts(data.training), data.counts(data.validation)
    notices = [f"- {notice}" for notice in data.notices()] or ["- nothing odd was found"]
    layers = {
        "head": "the embedding layer only",
        "gradual": "part by part, from the head",
        "all": "all layers",
    }
    options = ", ".join(f"{name} {value}" for name, value in job.loss.options.items()) or "defaults"
    rows = [
        f"| {name.replace('|', chr(92) + '|')} | {trained.get(name, 0):,} | {validated.get(name, 0):,} |"
        for name in data.classes
    ]
    figures = [
        f"| {row['epoch']} | " + " | ".join(f"{row[name]:.4f}" for name in ("loss", *_METRICS)) + " |"
        for row in history
    ]
    lines = [
        f"# {Path(job.run).name}",
        "",
        f"An embedding of {run.dim} dimensions for image retrieval: {job.network.name}, trained on "
        f"{len(data.training.ids):,} images of {data.trained_classes} classes.",
        "",
        "## Intended use",
        "",
        "To find images of the same class as a query, among images like those it was trained on. Embeddings are",
        "compared by their cosine, and only with embeddings of the same encoder.",
        "",
        "```",
        f"lookalike encoder build OUT --network {job.run} --sample SHARDS",
        "```",
        "",
        "## Figures",
        "",
        f"Each of {len(data.validation.ids):,} validation images asks for the others of its class among all of them.",
        f"The network is that of epoch {run.best_epoch}, the best by mAP@R. As the epoch was chosen on these images,",
        "expect a little less on others.",
        "",
        "| epoch | loss | mAP@R | hit rate at 1 | mAP |",
        "|---|---|---|---|---|",
        *figures,
        "",
        f"![Curves]({CURVES})",
        "",
        "## Data",
        "",
        f"Shards `{job.corpus.shards}`, validation `{job.validation.shards or f'{job.validation.part:.0%} of them'}`, "
        f"class by `{job.label}`. {data.rejects.num_rows:,} images were not used (`{REJECTS}`).",
        "",
        "| class | training | validation |",
        "|---|---|---|",
        *rows,
        "",
        "## Recipe",
        "",
        f"- trained: {layers[job.train]}, {run.epochs} epochs of batches of {job.batch_size}, seed {job.seed}",
        f"- preprocessing: `{run.preprocessing}`",
        f"- loss: {job.loss.name}, {options}",
        f"- imbalance: sampling {job.imbalance.sampling}, class weights {str(job.imbalance.class_weights).lower()}, "
        f"logit adjustment {job.imbalance.logit_adjustment}",
        f"- AdamW: learning rate {job.optimizer.learning_rate}, weight decay {job.optimizer.weight_decay}, warm-up of "
        f"{job.optimizer.warmup_epochs} epochs, cosine decay, rate of a part {job.optimizer.part_rate} of the next",
        f"- batch normalisation statistics: {job.statistics}; moving average of weights: {job.ema}",
        "- everything: `config.yaml`",
        "",
        "## Limits",
        "",
        *notices,
        "- Classes that are not in the table above, and images of another kind (drawings, X-rays), were not measured.",
        "- It has learned what tells the classes apart: differences within a class may have been lost.",
        "",
    ]
    return printable_lines(lines)


@dataclass(frozen=True)
class TrainSummary:
    """What came of a run.

    Attributes:
        folder: of the run.
        run: what it came to.
        seconds: this command took.
        finished_before: whether there was nothing left to do.
        rejected: images that were not used.
        notices: what is odd about the data, a sentence each.
        damaged: whether a shard could be read only in part.
    """

    folder: Path
    run: Run
    seconds: float
    finished_before: bool
    rejected: int
    notices: list[str]
    damaged: bool
