import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from lookalike.demo.catalogue import MOST_PHOTOGRAPHS, built_in_photographs, find_photographs, make_catalogue
from lookalike.model.errors import LookalikeError


def save(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    assert cv2.imwrite(str(path), cv2.resize(small, (80, 60)))
    return path


def test_the_built_in_photographs_are_in_the_wheels():
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    found = built_in_photographs()
    assert len(found) == 20
    assert {"chelsea", "astronaut", "china"} <= set(found)
    assert all(path.is_file() for path in found.values())


def test_photographs_are_found_below_a_folder_but_not_in_the_demo_itself(tmp_path):
    for path in ("b.jpg", "a/1.PNG", "a/.hidden/2.jpg", "demo/images/3.jpg", "notes.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    found, left_out = find_photographs(tmp_path, tmp_path / "demo")
    assert found == {"a/1.PNG": tmp_path / "a/1.PNG", "b.jpg": tmp_path / "b.jpg"}
    assert left_out == []


def test_what_is_left_out_is_told(tmp_path):
    for number in range(MOST_PHOTOGRAPHS + 3):
        (tmp_path / f"{number:04}.jpg").touch()
    with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9.jpg"), "w"):
        pass
    found, left_out = find_photographs(tmp_path, tmp_path / "demo")
    assert list(found) == [f"{number:04}.jpg" for number in range(MOST_PHOTOGRAPHS)]
    assert left_out == [
        ("caf\\xe9.jpg", "the file's name is not UTF-8"),
        ("3 photographs", "the demo takes the first 200"),
    ]


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        ("nowhere", "expected a folder of photographs"),
        ("empty", "Received: none"),
        ("out/images", "outside of"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(tmp_path, images, reason):
    (tmp_path / "empty").mkdir()
    (tmp_path / "out" / "images").mkdir(parents=True)
    with pytest.raises(LookalikeError, match=reason):
        find_photographs(tmp_path / images, tmp_path / "out")


def test_the_catalogue_holds_views_broken_files_and_a_row_for_each_view(tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    photographs = {"a/x.png": save(tmp_path / "a/x.png", 1), "y": save(tmp_path / "y.png", 2)}
    out = tmp_path / "out"
    out.mkdir()
    views, unreadable = make_catalogue(
        out, photographs | {"text.jpg": tmp_path / "text.jpg", "gone": tmp_path / "gone"}, 12
    )
    assert views == 24
    assert [name for name, _ in unreadable] == ["text.jpg", "gone"]
    assert dict(unreadable)["gone"] == f"No such file or directory: {tmp_path}/gone"
    rows = [json.loads(line) for line in (out / "photos.jsonl").read_text().splitlines()]
    images = sorted(str(p.relative_to(out / "images")) for p in (out / "images").rglob("*.*") if p.is_file())
    assert [row["path"] for row in rows] == [path for path in images if not path.startswith("broken/")]
    assert {row["photo"] for row in rows} == {"a/x.png", "y"}
    assert len([path for path in images if path.startswith("broken/")]) == 7
    assert len(list((out / "queries").rglob("query-*"))) == 16
    assert [path.name for path in (out / "queries" / "broken").iterdir()] == ["error-page.jpg"]


def test_the_same_photographs_give_the_same_bytes(tmp_path):
    photographs = {"a": save(tmp_path / "a.png", 1), "b": save(tmp_path / "b.png", 2)}
    content = []
    for out in (tmp_path / "first", tmp_path / "second"):
        out.mkdir()
        make_catalogue(out, photographs, 11)
        content.append({p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()})
    assert content[0] == content[1]


def test_one_photograph_is_too_few(tmp_path):
    with pytest.raises(LookalikeError, match=r"2 photographs or more .* Received: 1; b: No such file"):
        make_catalogue(tmp_path, {"a": save(tmp_path / "a.png"), "b": tmp_path / "b.png"}, 11)
