"""A tiny encoder, small pictures, and a job that runs the command line in this process."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import settings

if TYPE_CHECKING:
    from lookalike.config.job import Config
    from tests.support.s3_server import S3Server

# How long an example takes says more of what else the machine does; each run tries others.
settings.register_profile("any machine", deadline=None, max_examples=40)
settings.load_profile("any machine")
DIM = 16
SPEC = "decode|resize_short(36)|center_crop(32)|normalize(127,128)"


def picture(seed: int, width: int = 48, height: int = 40, form: str = ".jpg") -> bytes:
    """Smooth blobs of colour, encoded."""
    colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    pixels = cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(form, pixels)[1].tobytes()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """The tests of a module end in the folder in which they began."""
    yield
    if nextitem is None or nextitem.path != item.path:
        before = str(item.config.invocation_params.dir)
        try:
            assert os.getcwd() == before
        finally:
            os.chdir(before)


ZOO = {"cat": 12, "dog": 6, "eel": 3}


def zoo_pictures(sizes: Mapping[str, int] = ZOO, start: int = 0) -> dict[str, bytes]:
    """So many pictures of each animal, in a directory of its name."""
    names = [f"{name}/{i:02}.jpg" for name, size in sizes.items() for i in range(size)]
    return {name: picture(start + seed) for seed, name in enumerate(names)}


@pytest.fixture(scope="module")
def s3(tmp_path_factory) -> Iterator[S3Server]:
    """A server that speaks S3, which the environment of the module's tests names."""
    from tests.support.s3_server import S3Server, found_by_the_environment

    server = S3Server()
    with found_by_the_environment(server, tmp_path_factory.mktemp("s3")):
        yield server
    server.stop()


@pytest.fixture
def server(s3, monkeypatch, tmp_path) -> Iterator[S3Server]:
    """It, with no requests so far; and a cache of the test's own."""
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "cache"))
    s3.reset()
    yield s3
    s3.reset()


@pytest.fixture
def bucket(s3) -> str:
    """An empty bucket on it."""
    name = s3.make_bucket()
    s3.reset()
    return name


@pytest.fixture
def environ(monkeypatch) -> Iterator[Callable[..., None]]:
    """Changes the environment: environ(NAME=value), None for what is to be gone; stores are opened anew."""
    from lookalike.filesystem import stores

    def change(**values: str | None) -> None:
        for name, value in values.items():
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
        stores.forget()

    yield change
    monkeypatch.undo()
    stores.forget()


@pytest.fixture(scope="session")
def pictures() -> dict[str, bytes]:
    """24 readable pictures by name, JPEG and PNG."""
    names = {f"p{i:02}.{'png' if i % 4 == 3 else 'jpg'}": i for i in range(24)}
    return {name: picture(i, form=name[3:]) for name, i in names.items()}


def tiny_network(seed: int = 1, *, use_bias: bool = True, pool: bool = True) -> Any:
    """Two convolutions: (32, 32, 3) to 32 features, or to their map."""
    import keras

    def convolution(filters: int, number: int) -> Any:
        return keras.layers.Conv2D(
            filters,
            5,
            2,
            padding="same",
            activation="relu",
            use_bias=use_bias,
            kernel_initializer=keras.initializers.GlorotUniform(seed + number),
            bias_initializer=keras.initializers.RandomUniform(0, 0.1, seed=seed + number),
            name=f"convolution{number}",
        )

    image = keras.Input((32, 32, 3), name="image")
    x = convolution(32, 2)(convolution(8, 1)(image))
    return keras.Model(
        image, keras.layers.GlobalAveragePooling2D(name="features")(x) if pool else x, name="tiny"
    )


@pytest.fixture(scope="session")
def make_encoder(pictures):
    """Builds a bundle round the tiny network; keywords go to `build_bundle`."""
    from lookalike.model.encoder.export import BundleRecipe, Example, build_bundle
    from lookalike.model.networks import Backbone

    def make(folder: Path, seed: int = 1, use_bias: bool = True, pool: bool = True, **options: Any):
        backbone = Backbone(tiny_network(seed, use_bias=use_bias, pool=pool), SPEC)
        recipe = BundleRecipe(**{"name": "tiny", "dim": DIM} | options)
        return build_bundle(folder, backbone, map(Example, pictures.values()), recipe)

    return make


@pytest.fixture(scope="session")
def encoder(make_encoder, tmp_path_factory) -> Path:
    """An encoder bundle of 16 dimensions. Not to be changed: copy it."""
    folder = tmp_path_factory.mktemp("encoders") / "tiny"
    make_encoder(folder)
    return folder


@pytest.fixture(scope="session")
def other_encoder(make_encoder, tmp_path_factory) -> Path:
    """Like `encoder`, with other weights."""
    folder = tmp_path_factory.mktemp("encoders") / "other"
    make_encoder(folder, seed=100, name="other")
    return folder


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What standard error says after `lookalike: error: `."""
        lines = [line for line in self.err.splitlines() if line.startswith("lookalike: error: ")]
        assert len(lines) == 1, self
        return lines[0].removeprefix("lookalike: error: ")


def run(*arguments: object) -> Outcome:
    """Runs `lookalike` in this process. Whatever happens, no stack trace may reach the user."""
    from lookalike.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    code: object = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert "Traceback" not in out.getvalue() + err.getvalue()
    return Outcome(int(code or 0), out.getvalue(), err.getvalue())  # type: ignore[call-overload]


class Job:
    """A job file with its corpus and store in one folder.

    Args:
        folder: where everything is.
        encoder: the bundle to use.
    """

    def __init__(self, folder: Path, encoder: Path) -> None:
        self.folder = folder
        self.shards = folder / "shards"
        self.store = folder / "store"
        self.config = folder / "job.yaml"
        self.settings: dict[str, Any] = {
            "corpus": {"shards": str(self.shards)},
            "encoder": str(encoder),
            "store": str(self.store),
        }

    def set(self, **sections: Any) -> Job:
        """Changes keys; a section that is a mapping is merged."""
        for name, value in sections.items():
            merged = {**self.settings.get(name, {}), **value} if isinstance(value, dict) else value
            self.settings[name] = merged
        return self

    def pack(self, images: Mapping[str, bytes], format: str = "tfrecord", per_shard: int = 8) -> list[str]:
        """Makes the corpus of these images; a metadata field `number` counts them in order.

        Every shard but the last has just `per_shard` images, so that a test knows what it holds.
        """
        from lookalike.sources.pack import pack

        source = self.folder / "images"
        shutil.rmtree(source, ignore_errors=True)
        shutil.rmtree(self.shards, ignore_errors=True)
        rows = []
        for number, (name, content) in enumerate(sorted(images.items())):
            path = source / str(number // per_shard) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            rows.append(json.dumps({"path": name, "number": number, "title": f"tïtle, {name}"}) + "\n")
        table = self.folder / "rows.jsonl"
        table.write_text("".join(rows))
        self.set(corpus={"metadata": {"title": "string", "number": "int64"}})
        self.shards.mkdir()
        made = []
        count = -(-len(images) // per_shard)
        for number in range(count):
            packed = str(self.folder / "packed")
            (shard,) = pack(
                str(source / str(number)),
                packed,
                format=format,
                images_per_shard=per_shard,
                metadata=str(table),
            ).shards
            place = self.shards / f"shard-{number:05}-of-{count:05}{Path(shard).suffix}"
            made.append(shutil.move(shard, place))
            shutil.rmtree(packed)
        return list(map(str, made))

    def run(self, command: str, *arguments: object) -> Outcome:
        """Runs a command with this job's file."""
        self.config.write_text(yaml.safe_dump(self.settings, sort_keys=False))
        return run(command, "--config", self.config, *arguments)

    def nightly(self, *arguments: object) -> Outcome:
        """A run that must publish."""
        done = self.run("nightly", *arguments)
        assert done.code == 0, done
        return done

    def query(self, queries: object, *arguments: object, form: str = "parquet") -> Outcome:
        """Runs a query job into the folder `out`."""
        return self.run("query", queries, "--out", self.folder / "out", "--format", form, *arguments)

    @property
    def loaded(self) -> Config:
        """The job file as a job reads it."""
        from lookalike.config.job import load_config

        self.config.write_text(yaml.safe_dump(self.settings, sort_keys=False))
        return load_config(self.config)

    @property
    def results(self) -> pa.Table:
        return pq.read_table(self.folder / "out" / "results.parquet")

    @property
    def failures(self) -> list[dict[str, str]]:
        return pq.read_table(self.folder / "out" / "failures.parquet").to_pylist()

    @property
    def notes(self) -> dict[str, dict[str, Any]]:
        """The notes of finished shards by the shard's base name, each shard having been embedded once."""
        found = [json.loads(path.read_text()) for path in sorted(self.store.glob("embeddings/*/*.json"))]
        return {os.path.basename(note["shard"]): note for note in found}

    @property
    def embeddings(self) -> pa.Table:
        """All embedding files, one behind the other."""
        return pa.concat_tables(
            pq.read_table(self.store / note["path"]) for _, note in sorted(self.notes.items())
        )

    @property
    def rejects(self) -> list[dict[str, Any]]:
        paths = [self.store / note["rejects_path"] for _, note in sorted(self.notes.items())]
        return [row for path in paths for row in pq.read_table(path).to_pylist()]

    @property
    def generation(self) -> dict[str, Any]:
        """The manifest that CURRENT names, with the notes of its shards."""
        from lookalike.store.generation import read_current
        from lookalike.store.generations import served_notes

        name = (self.store / "CURRENT").read_text().split()[0]
        manifest = json.loads((self.store / "generations" / name / "manifest.json").read_text())
        notes = served_notes(str(self.store), read_current(str(self.store)))
        return manifest | {"shards": [asdict(note) for note in notes]}

    def query_file(self, images: Mapping[str, bytes], name: str = "queries") -> Path:
        """A folder of query images."""
        folder = self.folder / name
        folder.mkdir()
        for file, content in images.items():
            (folder / file).write_bytes(content)
        return folder

    def vectors_file(self, vectors: Any, ids: list[Any] | None = None, name: str = "queries.parquet") -> Path:
        """A Parquet file of vector queries; `vectors` is an array (n, dim) or a list of lists."""
        columns = {"embedding": pa.array(list(vectors), pa.list_(pa.float32()))}
        path = self.folder / name
        pq.write_table(pa.table(columns if ids is None else {"query_id": ids, **columns}), path)
        return path


def tune(job: Job, *options: str) -> None:
    """Changes the steps around the search in the job's encoder."""
    done = run("encoder", "tune", job.settings["encoder"], *options)
    assert done.code == 0, done


@pytest.fixture
def job(tmp_path, encoder) -> Job:
    """An empty job."""
    return Job(tmp_path, encoder)


@pytest.fixture(scope="session")
def published(tmp_path_factory, encoder, pictures) -> Job:
    """A job with 24 items in 3 shards, published. Not to be changed: see `copied`."""
    job = Job(tmp_path_factory.mktemp("published"), encoder)
    job.pack(pictures)
    job.nightly()
    return job


@pytest.fixture
def copied(published, tmp_path) -> Job:
    """A copy of `published` that a test may damage."""
    shutil.copytree(published.store, tmp_path / "store")
    shutil.copytree(published.shards, tmp_path / "shards")
    copy = Job(tmp_path, Path(published.settings["encoder"]))
    copy.settings["corpus"] = published.settings["corpus"] | {"shards": str(published.shards)}
    return copy


@pytest.fixture(scope="session")
def zoo(tmp_path_factory, encoder) -> Job:
    """21 items of three classes, published; the class is the directory of the id. Not to be changed."""
    job = Job(tmp_path_factory.mktemp("zoo"), encoder)
    job.pack(zoo_pictures())
    job.nightly()
    return job


@pytest.fixture
def asked(zoo, tmp_path) -> Callable[..., str]:
    """A file of vector queries: q(ids, field=values) -> its path; vectors are near those of the first items."""
    table = zoo.embeddings
    vectors = np.stack(table["embedding"].to_numpy(zero_copy_only=False))

    def ask(ids: list[str], **columns: Any) -> str:
        noise = np.random.default_rng(2).normal(size=(len(ids), vectors.shape[1])).astype(np.float32)
        near = vectors[np.arange(len(ids)) % len(vectors)] + 0.1 * noise
        path = tmp_path / "asked.parquet"
        embedding = pa.array(list(near), pa.list_(pa.float32()))
        pq.write_table(pa.table({"query_id": ids, "embedding": embedding, **columns}), path)
        return str(path)

    return ask


@pytest.fixture
def tuned(copied) -> Job:
    """The published job with an encoder whose steps may be changed: see `tune`."""
    folder = copied.folder / "encoder"
    shutil.copytree(copied.settings["encoder"], folder)
    return copied.set(encoder=str(folder))


@pytest.fixture
def mounted(tmp_path) -> Iterator[Any]:
    """Mounts a tmpfs of some KiB: mounted(name, size) -> its folder; `read_only(folder)` closes it."""
    folders: list[Path] = []

    def mount(name: str, kibibytes: int) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting needs privileges: {done.stderr.strip()}")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(autouse=True)
def no_network(monkeypatch) -> Iterator[None]:
    """Fails a test that tries to reach another machine, even where the code swallows the error."""
    tried: list[Any] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def local(host: Any) -> bool:
        return host in (None, "", "localhost", socket.gethostname()) or str(host).startswith(("127.", "::1"))

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not local(address[0]):
            tried.append(address)
            raise OSError(f"a test may not connect to {address}")
        connect(self, address)

    def guarded_look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        if not local(host):
            tried.append(host)
            raise OSError(f"a test may not look up {host}")
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
    yield
    assert not tried, f"reached for the network: {tried}"
