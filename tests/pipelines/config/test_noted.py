"""A job that is noted beside a result is the same from anywhere."""

from __future__ import annotations

import os

from lookalike.config.job import Config
from lookalike.config.noted import from_note, noted


def test_what_is_noted_finds_the_same_pictures_from_elsewhere(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config.model_validate(
        {
            "corpus": {"shards": ["a/*.tar", "s3://bucket/b"], "max_pixels": 1000},
            "encoder": "encoder",
            "store": "store",
            "query": {"k": 3},
        }
    )
    data = noted(config)
    monkeypatch.chdir("/")
    again = from_note(data)
    assert again.corpus.shards == [os.path.join(str(tmp_path), "a/*.tar"), "s3://bucket/b"]
    assert (again.store, again.corpus.max_pixels) == (config.store, 1000)
    assert "query" not in data
