"""What an unknown id was meant to be."""

import pyarrow as pa
import pytest

from lookalike.store.nearest import nearest

KNOWN = pa.chunked_array(
    [
        ["cats/17.jpg", "cats/18.jpg"],
        ["caf\u00e9.png", "a'b.gif", "000123", "000124"],
        ["\u5c71\u7530\u82b1\u5b50.jpg"],
    ]
)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("cafe\u0301.png", "caf\u00e9.png"),
        ("CATS/17.JPG", "cats/17.jpg"),
        (" cats/17.jpg ", "cats/17.jpg"),
        ('"cats/17.jpg"', "cats/17.jpg"),
        ("cats\\17.jpg", "cats/17.jpg"),
        ("cats/17", "cats/17.jpg"),
        ("cats/18.png", "cats/18.jpg"),
        ("cast/18.jpg", "cats/18.jpg"),
        ("a'b.git", "a'b.gif"),
        ("00123", "000123"),
        ("\ufeffcats/17.jpg", "cats/17.jpg"),
        ("Cafe.png", "caf\u00e9.png"),
        ("./cats/17.jpg", "cats/17.jpg"),
        ("/srv/shop/cats/17.jpg", "cats/17.jpg"),
        ("17.jpg", "cats/17.jpg"),
        ("\u5c71\u7530\u82b1.jpg", "\u5c71\u7530\u82b1\u5b50.jpg"),
        ("\u5c71\u672c\u82b1\u5b50.jpg", "\u5c71\u7530\u82b1\u5b50.jpg"),
        ("\u6771\u4eac\u5c4b\u706b.jpg", None),
        ("bats/17.jpg", "cats/17.jpg"),
        ("7.jpg", None),
        ("dogs/1.jpg", None),
        ("x", None),
    ],
)
def test_the_nearest_id_is_found_where_there_is_one(asked, meant):
    assert nearest([asked], [KNOWN]).get(asked) == meant


def test_each_gets_its_own():
    assert nearest(["cats/17", "y", "A'B.gif"], [KNOWN]) == {"cats/17": "cats/17.jpg", "A'B.gif": "a'b.gif"}
    assert nearest([], [KNOWN]) == nearest(["x"], []) == {}


def test_among_many_ids_spelling_is_compared_for_a_few_only(monkeypatch):
    monkeypatch.setattr("lookalike.store.nearest._COMPARISONS", 5)
    assert nearest(["cast/18.jpg", "cats/17"], [KNOWN]) == {"cats/17": "cats/17.jpg"}


def test_what_differs_by_case_alone_is_nearer_than_what_has_another_extension(monkeypatch):
    monkeypatch.setattr("lookalike.store.nearest._COMPARISONS", 0)
    known = [pa.chunked_array([["cats/17.png", "cats/17.jpg"]])]
    assert nearest(["CATS/17.PNG"], known) == {"CATS/17.PNG": "cats/17.png"}
