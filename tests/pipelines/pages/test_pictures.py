"""Pictures of items and queries come from where they were read, and what is gone is told."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np

from lookalike.pages.album import ITEM, QUERY, Album
from lookalike.pages.pictures import add_items, add_queries
from lookalike.store.exclusions import add
from lookalike.store.generation import read_current


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_items_are_shown_as_the_shards_hold_them(published, pictures) -> None:
    album = Album()
    add_items(album, published.loaded, read_current(str(published.store)), ["p01.jpg", "p20.jpg", "gone"])
    assert album.show(ITEM, "p01.jpg").sha256 == sha256_of(pictures["p01.jpg"])
    assert album.show(ITEM, "p20.jpg").sha256 == sha256_of(pictures["p20.jpg"])
    assert album.show(ITEM, "gone").reason == "the shards no longer hold it"


def test_a_corpus_that_is_gone_is_told_in_place_of_pictures(copied) -> None:
    shutil.rmtree(copied.folder / "shards")
    copied.set(corpus={"shards": str(copied.folder / "shards")})
    album = Album()
    add_items(album, copied.loaded, read_current(str(copied.store)), ["p01.jpg"])
    assert "shards" in str(album.show(ITEM, "p01.jpg").reason)


def test_queries_of_each_kind(published, pictures, tmp_path) -> None:
    config, generation = published.loaded, read_current(str(published.store))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "q.jpg").write_bytes(pictures["p02.jpg"])
    (tmp_path / "ids.txt").write_text("p04.jpg\n")

    np.save(tmp_path / "vectors.npy", np.ones((1, 16), np.float32))
    (tmp_path / "items.csv").write_text("query_id,item_id\na,p05.jpg\nb,p05.jpg\n")
    (tmp_path / "paths.csv").write_text(
        'query_id,path,box\na,photos/q.jpg,\nb,photos/gone.jpg,\nc,photos/q.jpg,"[0,0,9,8]"\nc,photos/gone.jpg,\n'
    )

    (tmp_path / "words.csv").write_text("query_id,text\na,hat\n")
    (tmp_path / "both.csv").write_text("query_id,path,text\na,photos/q.jpg,hat\nb,photos/q.jpg,\nc,,hat\n")

    def shown(path: object, name: str) -> object:
        album = Album()
        add_queries(album, config, generation, None if path is None else str(path), [name])
        picture = album.show(QUERY, name)
        return picture.sha256 or picture.reason

    assert shown(tmp_path / "photos", "q.jpg") == sha256_of(pictures["p02.jpg"])
    assert shown(tmp_path / "ids.txt", "p04.jpg") == sha256_of(pictures["p04.jpg"])
    assert shown(tmp_path / "vectors.npy", "0") == "the query is a vector"
    assert shown(tmp_path / "items.csv", "b") == sha256_of(pictures["p05.jpg"])
    assert shown(tmp_path / "paths.csv", "a") == sha256_of(pictures["p02.jpg"])
    assert shown(tmp_path / "paths.csv", "b") == "the queries no longer hold it"
    assert shown(tmp_path / "words.csv", "a") == "the query is words"
    assert shown(tmp_path / "both.csv", "a") == sha256_of(pictures["p02.jpg"])
    assert shown(tmp_path / "both.csv", "b") == sha256_of(pictures["p02.jpg"])
    assert shown(tmp_path / "both.csv", "c") == "the queries no longer hold it"
    assert shown(None, "q.jpg") == "--queries was not given"
    assert "gone" in str(shown(tmp_path / "gone.csv", "q.jpg"))


def test_of_a_query_with_a_box_the_part_is_shown(published, pictures, tmp_path) -> None:
    (tmp_path / "q.jpg").write_bytes(pictures["p02.jpg"])
    (tmp_path / "boxes.csv").write_text('query_id,path,box\na,q.jpg,"[1,2,9,8]"\n')
    album = Album()
    generation = read_current(str(published.store))
    add_queries(album, published.loaded, generation, str(tmp_path / "boxes.csv"), ["a"])
    picture = album.show(QUERY, "a")
    assert (picture.width, picture.height) == (9, 8)


def test_queries_that_are_items_which_were_taken_down_are_not_shown(copied, pictures, tmp_path) -> None:
    add(str(copied.store), ["p04.jpg"])
    (tmp_path / "ids.txt").write_text("p04.jpg\np05.jpg\n")
    (tmp_path / "items.csv").write_text("query_id,item_id\na,p04.jpg\nb,p05.jpg\n")
    (tmp_path / "photos").mkdir()
    for name in ("p04.jpg", "p05.jpg"):
        (tmp_path / "photos" / name).write_bytes(pictures[name])
    (tmp_path / "paths.csv").write_text("query_id,path\np04.jpg,photos/p04.jpg\np05.jpg,photos/p05.jpg\n")
    for path, down, there in (
        ("ids.txt", "p04.jpg", "p05.jpg"),
        ("items.csv", "a", "b"),
        ("photos", "p04.jpg", "p05.jpg"),
        ("paths.csv", "p04.jpg", "p05.jpg"),
    ):
        album = Album()
        add_queries(
            album, copied.loaded, read_current(str(copied.store)), str(tmp_path / path), [down, there]
        )
        assert album.show(QUERY, down).reason == "it is taken down"
        assert album.show(QUERY, there).address


def test_queries_by_one_item_all_show_it(published, pictures, tmp_path) -> None:
    (tmp_path / "items.csv").write_text("query_id,item_id\na,p05.jpg\nb,p05.jpg\n")
    album = Album()
    generation = read_current(str(published.store))
    add_queries(album, published.loaded, generation, str(tmp_path / "items.csv"), ["a", "b"])
    assert {album.show(QUERY, name).sha256 for name in "ab"} == {sha256_of(pictures["p05.jpg"])}
