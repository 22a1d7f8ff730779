"""The job file of `lookalike train`: refused by name before anything starts, TensorFlow included."""

import subprocess
import sys

import pytest
import yaml

from lookalike.model.errors import LookalikeError
from lookalike.train.config import load_train_config
from tests.support.places import CONFIG

EXAMPLES = sorted((CONFIG).glob("train-*.yaml"))
LEAST = {"run": "runs/x", "corpus": {"shards": "shards"}}


def load(tmp_path, *overrides, **keys):
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump({**LEAST, **keys}))
    return load_train_config(path, list(overrides))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_files_are_right(path):
    assert load_train_config(path).run.startswith("runs/")


def test_there_are_five_examples():
    names = ["baseline", "drawn", "finetune", "head", "medical"]
    assert [path.stem for path in EXAMPLES] == [f"train-{name}" for name in names]


def test_all_but_run_and_shards_has_a_default(tmp_path):
    job = load(tmp_path)
    assert (job.label, job.train, job.loss.name, job.validation.part) == (
        "directory",
        "all",
        "norm_softmax",
        0.1,
    )


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"epoch": 3}, "unknown key `epoch`; did you mean `epochs`?"),
        ({"optimizer": {"learning_rat": 0.1}}, "`optimizer.learning_rat`; did you mean `learning_rate`?"),
        ({"augmentation": {"mixupp": 0.2}}, "`augmentation.mixupp`; did you mean `mixup`?"),
        ({"corpus": {}}, "the key `corpus.shards` is missing"),
        ({"loss": {"name": "tripplet"}}, "`loss.name`: input should be 'cross_entropy'"),
        ({"loss": "circle"}, "`loss`: keys and values are expected below it"),
        (
            {"validation": {"shards": "v", "share": 0.2}},
            "shards or a share of the corpus are expected, not both",
        ),
        ({"augmentation": {"cutmix": 2.0}}, "`augmentation.cutmix`: input should be less than or equal to 1"),
        ({"seed": 1 << 32}, "`seed`: input should be less than"),
        (
            {"optimizer": {"warmup_epochs": float("inf")}},
            "`optimizer.warmup_epochs`: input should be a finite number",
        ),
        ({"epochs": 0}, "`epochs`: input should be greater than or equal to 1. Received: 0"),
        ({"run": "s3://bucket/run"}, "a local folder is expected as run, not s3://bucket/run"),
        (
            {"label": "price", "corpus": {"shards": "x", "metadata": {"price": "float64"}}},
            "not price of type float64",
        ),
        ({"train": "head", "network": {"dim": None}}, "network.dim is expected to be a number"),
        ({"validation": {"share": 1.0}}, "`validation.share`: input should be less than 1"),
    ],
)
def test_mistakes_are_named(tmp_path, keys, said):
    with pytest.raises(LookalikeError) as error:
        load(tmp_path, **keys)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("spec", ["decode|resize(32,16)", "decode|crop(3)"])
def test_a_spec_that_cannot_be_trained_with_is_refused(tmp_path, spec):
    with pytest.raises(LookalikeError):
        load(tmp_path, network={"preprocessing": spec})


def test_keys_are_overridden_and_what_decides_the_result_is_told_flat(tmp_path):
    job = load(tmp_path, "optimizer.learning_rate=0.01", "augmentation.hue=0.25", "run=elsewhere")
    decides = job.decides()
    assert decides["optimizer.learning_rate"] == 0.01
    assert decides["augmentation.hue"] == 0.25
    assert not {"run", "corpus.shards", "checkpoint_minutes"} & set(decides)


def test_a_mistake_is_told_without_loading_tensorflow(tmp_path):
    code = (
        "import sys\nfrom lookalike.train.config import load_train_config\n"
        f"load_train_config({str(EXAMPLES[0])!r})\nassert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
