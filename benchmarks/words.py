"""What words find: classes and colours of the clothing photographs, emoji, and how fast texts are encoded.

    python benchmarks/words.py [--data ../shared/data/clothing] [--encoder BUNDLE] [--emoji FOLDER] [--json FILE]

The pictures that are searched are validation/, what is learnt from is train/. Colours are those of the middle of a
photograph, by name. FOLDER is where `npm pack emoji-datasource-google emojibase-data` were unpacked into
(package/emoji.json, package/img/google/64, package/en/data.json): four of five emoji are learnt from by their names,
and the others asked for by theirs. mAP is the mean average precision, R@10 the share of queries that find what they
mean among the first ten. Needs the packages of the extra `text`.
"""

from __future__ import annotations

import colorsys
import io
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np
from PIL import Image

from lookalike.encoder.build import Sample
from lookalike.encoder.text import add_class_names, add_texts
from lookalike.model.encoder.bundle import BATCH, Encoder
from lookalike.model.encoder.projection import unit_length
from lookalike.model.text import minilm, tower
from lookalike.model.text.bundle import vocabulary
from lookalike.model.text.encoder import TextEncoder, TextReader, word_piece

SYNONYMS = {
    "dress": ("gown", "frock", "evening dress"),
    "hat": ("cap", "beanie", "headwear"),
    "longsleeve": ("long sleeved top", "sweatshirt", "pullover"),
    "outwear": ("jacket", "coat", "parka"),
    "pants": ("trousers", "jeans", "slacks"),
    "shirt": ("blouse", "button-down", "dress shirt"),
    "shoes": ("sneakers", "boots", "footwear"),
    "shorts": ("bermudas", "short trousers", "swim trunks"),
    "skirt": ("miniskirt", "pleated skirt", "kilt"),
    "t-shirt": ("tee", "tee shirt", "short sleeved top"),
}
LEAST = 4
"""Searched pictures of a pair of colour and class that is asked for."""


class Pictures:
    """Some pictures of one folder: vectors (n, dim), and class and colour of each."""

    def __init__(self, encoder: Encoder, folder: Path) -> None:
        paths = sorted(folder.glob("*/*.jpg"))
        self.classes = np.array([path.parent.name for path in paths])
        self.colours = np.array([colour_of(path) for path in paths])
        self.vectors = encoded(encoder, [path.read_bytes() for path in paths])


def encoded(encoder: Encoder, images: Sequence[bytes]) -> np.ndarray:
    batches = (images[i : i + BATCH] for i in range(0, len(images), BATCH))
    return np.concatenate([found.vectors for found in encoder.map(batches)])


def colour_of(path: Path) -> str:
    """The name of the median colour in the middle of a photograph."""
    image = Image.open(path).convert("RGB")
    width, height = image.size
    middle = image.crop((width * 2 // 5, height * 2 // 5, width * 3 // 5, height * 3 // 5))
    red, green, blue = np.median(np.asarray(middle).reshape(-1, 3), axis=0) / 255
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if value < 0.25:
        return "black"
    if saturation < 0.15:
        return "white" if value > 0.7 else "grey"
    ends = ((20, "red"), (45, "brown"), (70, "yellow"), (165, "green"), (260, "blue"), (345, "pink"))
    return next((name for end, name in ends if hue * 360 < end), "red")


def mean_average_precision(queries: np.ndarray, relevant: np.ndarray, vectors: np.ndarray) -> float:
    """Of queries (q, dim) with their relevant pictures, bool (q, n), among vectors (n, dim)."""
    found = []
    for query, right in zip(queries, relevant, strict=True):
        ranked = right[np.argsort(-(vectors @ query), kind="stable")]
        found.append((np.cumsum(ranked) / np.arange(1, len(ranked) + 1))[ranked].mean())
    return float(np.mean(found))


def in_ten(queries: np.ndarray, relevant: np.ndarray, vectors: np.ndarray) -> float:
    """The share of queries with a relevant picture among the ten nearest."""
    best = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :10]
    return float(np.take_along_axis(relevant, best, axis=1).any(axis=1).mean())


def by_class(bundle: Path, data: Path, train: Pictures, held: Pictures) -> list[dict[str, Any]]:
    """Classes and their synonyms, by both maps."""
    classes = sorted(SYNONYMS)
    middles = [train.vectors[train.classes == one].mean(axis=0) for one in classes]
    right = np.array([held.classes == one for one in classes])
    others = [(word, one) for one in classes for word in SYNONYMS[one]]
    right_others = np.array([held.classes == one for _, one in others])
    rows = [
        {
            "what": "10 class words, mAP",
            "chance": float(right.mean()),
            "class centroid": mean_average_precision(unit_length(np.array(middles)), right, held.vectors),
        },
        {"what": "30 synonyms, mAP", "chance": float(right_others.mean()), "class centroid": None},
    ]
    sample = Sample(str(data / "train"), images=2 * len(train.classes))
    for name, add in (
        ("A: class names", lambda: add_class_names(bundle)),
        ("B: own labels", lambda: add_texts(bundle, "labels", sample)),
    ):
        opened = TextEncoder.load(bundle, add().manifest.encoder)
        words = opened.encode(classes).vectors
        rows[0][name] = mean_average_precision(words, right, held.vectors)
        other_words = opened.encode([word for word, _ in others]).vectors
        rows[1][name] = mean_average_precision(other_words, right_others, held.vectors)
    return rows


def by_colour(reader: TextReader, train: Pictures, held: Pictures) -> list[dict[str, Any]]:
    """Pairs of colour and class that were never seen together, and a colour word beside a photograph."""
    pairs = sorted(set(zip(held.colours, held.classes, strict=True)))
    right = {pair: (held.colours == pair[0]) & (held.classes == pair[1]) for pair in pairs}
    asked = [pair for pair in pairs if right[pair].sum() >= LEAST]
    relevant = np.array([right[pair] for pair in asked])
    unseen = np.zeros((len(asked), train.vectors.shape[1]), np.float32)
    captions = np.array([f"{c} {k}" for c, k in zip(train.colours, train.classes, strict=True)])
    for fold in range(4):  # what is asked for in a fold is not learnt from in it
        out = {f"{c} {k}" for c, k in asked[fold::4]}
        learnt = fitted(reader, captions, train.vectors, ~np.isin(captions, list(out)))
        texts = [f"{c} {k}" for c, k in asked[fold::4]]
        unseen[fold::4] = learnt.apply(reader.read(texts).vectors, texts)[0]
    whole = fitted(reader, captions, train.vectors, np.ones(len(captions), bool))
    classes = [k for _, k in asked]
    alone = whole.apply(reader.read(classes).vectors, classes)[0]
    colours = sorted({colour for colour, _ in asked})
    words = whole.apply(reader.read(colours).vectors, colours)[0]
    pictures, targets, beside = [], [], []
    for place, (colour, kind) in enumerate(zip(held.colours, held.classes, strict=True)):
        for number, other in enumerate(colours):
            if other != colour and (other, kind) in right and right[other, kind].sum() >= LEAST:
                pictures.append(held.vectors[place])
                beside.append(words[number])
                targets.append(right[other, kind])
    picture, word, wanted = np.array(pictures), np.array(beside), np.array(targets)
    return [
        {
            "what": f"{len(asked)} pairs of colour and class, never learnt together, mAP",
            "chance": float(relevant.mean()),
            "one alone": mean_average_precision(alone, relevant, held.vectors),
            "both": mean_average_precision(unseen, relevant, held.vectors),
        },
        {
            "what": f"{len(wanted):,} photographs, each with another colour's word: of class and colour, R@10",
            "chance": None,
            "one alone": max(in_ten(picture, wanted, held.vectors), in_ten(word, wanted, held.vectors)),
            "both": in_ten(unit_length((picture + word) / 2), wanted, held.vectors),
        },
    ]


def by_unseen_class(reader: TextReader, train: Pictures, held: Pictures) -> list[dict[str, Any]]:
    """Classes of which no word was learnt: each in its turn, by a map of the nine others."""
    classes = sorted(SYNONYMS)
    right = np.array([held.classes == one for one in classes])
    asked = []
    for one in classes:
        learnt = fitted(reader, train.classes, train.vectors, train.classes != one)
        asked.append(learnt.apply(reader.read([one]).vectors, [one])[0][0])
    return [
        {
            "what": "10 class words, each left out of what was learnt, mAP",
            "chance": float(right.mean()),
            "B: the nine others": mean_average_precision(np.array(asked), right, held.vectors),
        }
    ]


def fitted(reader: TextReader, captions: np.ndarray, vectors: np.ndarray, kept: np.ndarray) -> tower.Tower:
    """A map that is learnt from some pictures and their captions."""
    texts, of_image = np.unique(captions[kept], return_inverse=True)
    return tower.fit(reader.read(texts.tolist()).vectors, of_image, vectors[kept])


def by_emoji(reader: TextReader, encoder: Encoder, folder: Path) -> list[dict[str, Any]]:
    """Emoji that were not learnt from, by their names, among all."""
    package = folder / "package"
    told = {one["hexcode"]: one for one in json.loads((package / "en" / "data.json").read_text())}
    texts, images, groups = [], [], []
    for one in json.loads((package / "emoji.json").read_text()):
        label = told.get(one["unified"].replace("-FE0F", "").upper()) or told.get(one["unified"])
        path = package / "img" / "google" / "64" / one["image"]
        if label and path.exists() and one["category"] not in ("Flags", "Component"):
            texts.append(", ".join([label["label"], *label.get("tags", [])]))
            images.append(on_white(path))
            groups.append(one["subcategory"])
    vectors = encoded(encoder, images)
    unseen = np.arange(len(texts)) % 5 == 0
    learnt = fitted(reader, np.array(texts), vectors, ~unseen)
    asked = [text for text, one in zip(texts, unseen, strict=True) if one]
    queries = learnt.apply(reader.read(asked).vectors, asked)[0]
    wanted = np.eye(int(unseen.sum()), dtype=bool)
    of_group = np.array(groups)
    middles = np.array(
        [
            unit_length(vectors[~unseen & (of_group == one)].mean(axis=0, keepdims=True))[0]
            if (~unseen & (of_group == one)).any()
            else vectors[~unseen].mean(axis=0)
            for one in of_group[unseen]
        ]
    )
    return [
        {
            "what": f"{len(asked)} unseen emoji of {len(texts):,}, by name among themselves, R@10",
            "chance": 10 / len(asked),
            "middle of its group": in_ten(middles, wanted, vectors[unseen]),
            "B: captions": in_ten(queries, wanted, vectors[unseen]),
        }
    ]


def on_white(path: Path) -> bytes:
    image = Image.open(path).convert("RGBA")
    whole = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    target = io.BytesIO()
    whole.resize((224, 224), Image.Resampling.BICUBIC).save(target, "PNG")
    return target.getvalue()


def speed() -> list[dict[str, Any]]:
    """Texts a minute, of one to eight words, on all cores: the best of three."""
    network, pieces = minilm.MiniLM(minilm.packaged_weights()), word_piece(vocabulary())
    random = np.random.default_rng(0)
    words = ["red", "dress", "blue", "t-shirt", "dog", "with", "long", "sleeves"]
    texts = [" ".join(random.choice(words, random.integers(1, 9))) for _ in range(4000)]
    rates = []
    for _ in range(3):
        started = time.perf_counter()
        network.encode([pieces.tokens(text) for text in texts])
        rates.append(60 * len(texts) / (time.perf_counter() - started))
    return [{"what": "texts a minute", "rate": max(rates)}]


def main() -> None:
    """Measures and prints."""
    parser = common.parser(__doc__)
    parser.add_argument("--emoji", type=Path, help="folder with the two npm packages")
    parser.add_argument(
        "--encoder", type=Path, help="bundle of EfficientNet-Lite to copy instead of building one"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        bundle = Path(work, "encoder")
        if arguments.encoder:
            shutil.copytree(arguments.encoder, bundle)
        else:
            common.build_default_encoder(bundle, arguments.data)
        encoder = Encoder.load(bundle)
        reader = TextReader(word_piece(vocabulary()), minilm.MiniLM(minilm.packaged_weights()))
        train, held = (Pictures(encoder, arguments.data / one) for one in ("train", "validation"))
        tables = [
            ("Words for classes", by_class(bundle, arguments.data, train, held)),
            ("Words for a class that was not learnt", by_unseen_class(reader, train, held)),
            ("Words for colours", by_colour(reader, train, held)),
        ]
        if arguments.emoji:
            tables.append(("Emoji", by_emoji(reader, encoder, arguments.emoji)))
        tables.append(("Speed", speed()))
    common.show(tables, arguments.json)


if __name__ == "__main__":
    main()
