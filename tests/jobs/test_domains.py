"""Other domains from training to evaluation: scans with a window, drawings against photographs."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from benchmarks.domain_images import SOFT_TISSUE, drawing, scan_file
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.images.preprocess import parse_spec
from lookalike.train.config import load_train_config
from lookalike.train.data import Spool
from tests.conftest import Job, run, tiny_network
from tests.support.places import CLOTHING, ROOT

TISSUES = ("even", "spotted", "striped")
WINDOW = "window({},{})".format(*SOFT_TISSUE)
SPEC = "decode|{}|resize_short(36)|center_crop(32)|normalize(127,128)"


@pytest.fixture(autouse=True)
def not_for_the_whole_process(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def evaluated(*arguments: object) -> tuple[dict, str]:
    """The figures of `lookalike evaluate`, and what it printed."""
    out = arguments[-1]
    done = run("evaluate", *arguments[:-1], "--relevance", "directory", "--no-plots", "-o", out)
    assert done.code == 0, done
    return json.loads((Path(str(out)) / "evaluation.json").read_text()), done.out


def test_the_medical_recipe_has_a_window_and_neither_mirrors_nor_colours():
    job = load_train_config(ROOT / "config" / "train-medical.yaml")
    assert "decode|window(" in str(parse_spec(job.network.preprocessing))
    assert (job.augmentation.flip, job.augmentation.hue, job.augmentation.saturation) == ("none", 0, 0)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Folders of DICOM: train/, 8 of each of three tissues, and validation/, 4."""
    folder = tmp_path_factory.mktemp("scans")
    for name, numbers in (("train", range(8)), ("validation", range(8, 12))):
        files = {f"{t}/{n:02}.dcm": scan_file(t, n, size=48) for t in TISSUES for n in numbers}
        written(folder / name, files)
    tiny_network().save(folder / "tiny.keras")
    return folder


@pytest.fixture(scope="module")
def trained(scans, tmp_path_factory):
    """A job with an encoder trained on windowed scans, embedded and published."""
    folder = tmp_path_factory.mktemp("trained")
    job = yaml.safe_load((ROOT / "config" / "train-medical.yaml").read_text()) | {
        "run": str(folder / "run"),
        "corpus": {"shards": str(scans / "train")},
        "validation": {"shards": str(scans / "validation")},
        "epochs": 2,
        "batch_size": 8,
    }
    job["network"] = {
        "name": str(scans / "tiny.keras"),
        "layer": "features",
        "preprocessing": SPEC.format(WINDOW),
        "dim": 8,
    }
    (folder / "train.yaml").write_text(yaml.safe_dump(job))
    with pytest.MonkeyPatch.context() as patch:
        import tensorflow as tf

        patch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)
        assert (done := run("train", "-c", folder / "train.yaml")).code == 0, done
    built = run("encoder", "build", folder / "enc", "--network", folder / "run", "--sample", scans / "train")
    assert built.code == 0, built
    job = Job(folder, folder / "enc")
    job.set(corpus={"shards": str(scans / "train")})
    job.nightly()
    return job


def test_scans_are_trained_on_embedded_and_evaluated_in_the_same_window(trained, scans, tmp_path):
    manifest = json.loads((trained.folder / "enc" / "encoder.json").read_text())
    assert manifest["preprocessing"] == SPEC.format(WINDOW)
    assert (len(trained.embeddings), trained.rejects) == (24, [])
    report, _ = evaluated("-c", trained.config, "--queries", scans / "validation", tmp_path)
    (found,) = report["evaluations"]
    assert (found["items"], found["counts"]["measured"]) == (24, 12)


def test_training_embedding_and_querying_see_the_same_pixels(trained, scans, tmp_path):
    images = [path.read_bytes() for path in sorted((scans / "train").rglob("*.dcm"))]
    encoder = Encoder.load(trained.folder / "enc")
    spool = Spool(tmp_path, parse_spec(SPEC.format(WINDOW)), 10**6)
    numbers = [spool.add(image) for image in images]
    pixels = spool.pixels(numbers)
    spool.close()
    assert np.array_equal(pixels, [encoder.preprocess.pixels(image)[0] for image in images])
    assert pixels.std(axis=(1, 2)).min() > 20
    table = trained.embeddings.sort_by("item_id")
    served = np.stack(table["embedding"].to_numpy(zero_copy_only=False))
    assert np.abs(encoder.encode_pixels(pixels[:8, None]) - served[:8]).max() < 1e-5
    assert trained.query(scans / "train", "-k", 1).code == 0
    assert trained.results["item_id"].to_pylist() == trained.results["query_id"].to_pylist()


def test_another_window_is_another_encoder(trained, scans, tmp_path):
    other = tmp_path / "other"
    network = ("--network", scans / "tiny.keras", "--layer", "features", "--dim", 8)
    spec = ("--preprocessing", SPEC.format("window(-600,1500)"))
    assert run("encoder", "build", other, *network, *spec, "--sample", scans / "train").code == 0
    refused = trained.run("query", scans / "validation", "-o", tmp_path / "o", "--set", f"encoder={other}")
    assert refused.code == 2
    assert "encoder" in refused.sentence


def coloured(number: int) -> bytes:
    """A picture in which one channel is bright: its class, which no drawing shows."""
    random = np.random.default_rng(number)
    pixels = cv2.resize(random.integers(0, 60, (6, 6, 3)).astype(np.uint8), (48, 40))
    pixels[..., number % 3] += 150
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def test_evaluate_shows_what_is_lost_from_photographs_to_drawings(encoder, tmp_path):
    """Two jobs, one corpus of photographs and one of drawings, each asked with queries of its own kind."""
    jobs, queries = [], []
    for kind in ("photographs", "drawings"):
        for name, numbers in (("corpus", range(24)), ("queries", range(24, 36))):
            made = {f"{'bgr'[n % 3]}/{n:02}": coloured(n) for n in numbers}
            if kind == "photographs":
                made = {f"{name_}.jpg": content for name_, content in made.items()}
            else:
                made = {f"{name_}.png": drawing(content, "pencil") for name_, content in made.items()}
            written(tmp_path / kind / name, made)
        job = Job(tmp_path / kind, encoder)
        job.set(corpus={"shards": str(tmp_path / kind / "corpus")})
        job.config = tmp_path / f"{kind}.yaml"
        job.nightly()
        jobs += ["-c", job.config]
        queries += ["--queries", tmp_path / kind / "queries"]
    report, printed = evaluated(*jobs, *queries, tmp_path / "out")
    (loss,) = report["comparisons"]
    assert (loss["first"], loss["second"], loss["paired"]) == ("photographs", "drawings", False)
    figures = loss["metrics"]["map"]
    assert figures["first"] > 0.9
    assert figures["relative"] < -0.2
    assert "drawings - photographs" in printed


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_window_makes_a_pretrained_network_tell_tissues_apart(tmp_path):
    """A part of what docs/domains.md has measured."""
    for name, numbers in (("train", range(12)), ("validation", range(50, 56))):
        written(tmp_path / name, {f"{t}/{n}.dcm": scan_file(t, n) for t in TISSUES for n in numbers})
    found = {}
    for name, window in (("none", ""), ("soft", f"{WINDOW}|")):
        spec = f"decode|{window}resize_short(256)|center_crop(224)|normalize(127,128)"
        encoder = tmp_path / f"enc-{name}"
        build = ("--preprocessing", spec, "--dim", 32, "--sample", tmp_path / "train")
        assert run("encoder", "build", encoder, *build).code == 0
        (tmp_path / name).mkdir()
        job = Job(tmp_path / name, encoder)
        job.set(corpus={"shards": str(tmp_path / "train")})
        job.nightly()
        report, _ = evaluated(
            "-c", job.config, "--queries", tmp_path / "validation", tmp_path / f"out-{name}"
        )
        found[name] = report["evaluations"][0]["metrics"]["map"]["mean"]
    assert found["soft"] > 0.95
    assert found["none"] < found["soft"] - 0.1


@pytest.mark.slow
@pytest.mark.skipif(not CLOTHING.is_dir(), reason=f"no photographs in {CLOTHING}")
@pytest.mark.timeout(1800)
def test_training_on_drawings_makes_drawings_find_photographs(tmp_path):
    """The recipe on a twelfth of the clothing photographs: less is lost than without training."""
    for name, of, every in (("train", "train", 12), ("validation", "validation", 3)):
        paths = sorted((CLOTHING / of).rglob("*.jpg"))[::every]
        for path in paths:
            photograph, item = path.read_bytes(), path.relative_to(CLOTHING / of)
            written(tmp_path / "photographs" / name, {str(item): photograph})
            written(
                tmp_path / "drawings" / name, {str(item.with_suffix(".png")): drawing(photograph, "pencil")}
            )
    photographs, drawings = tmp_path / "photographs", tmp_path / "drawings"
    job = yaml.safe_load((ROOT / "config" / "train-drawn.yaml").read_text()) | {
        "run": str(tmp_path / "run"),
        "epochs": 5,
        "corpus": {"shards": [str(photographs / "train"), str(drawings / "train")]},
        "validation": {"shards": [str(photographs / "validation"), str(drawings / "validation")]},
    }
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(job))
    assert run("train", "-c", tmp_path / "train.yaml").code == 0
    found = {}
    for name, network in (("before", "efficientnet_lite0"), ("after", tmp_path / "run")):
        sample = ("--sample", photographs / "train")
        assert run("encoder", "build", tmp_path / f"enc-{name}", "--network", network, *sample).code == 0
        (tmp_path / name).mkdir()
        served = Job(tmp_path / name, tmp_path / f"enc-{name}")
        served.set(corpus={"shards": str(photographs / "train")})
        served.nightly()
        asked = ("--queries", photographs / "validation", "--queries", drawings / "validation")
        report, _ = evaluated("-c", served.config, "-c", served.config, *asked, tmp_path / f"out-{name}")
        (found[name],) = report["comparisons"]
    before, after = (found[name]["metrics"]["map"] for name in ("before", "after"))
    assert before["relative"] < -0.05
    assert after["second"] > before["second"] + 0.05
    assert after["relative"] > before["relative"]
