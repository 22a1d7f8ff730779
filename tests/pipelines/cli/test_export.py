"""The command `export`."""

from __future__ import annotations


def test_the_command_tells_what_it_wrote(copied):
    out = copied.folder / "vectors"
    done = copied.run("export", "-o", out, "--format", "npy")
    assert done.code == 0, done
    assert "exported     24 items of generation" in done.out
    assert "16 dimensions, float32, cosine, encoder tiny" in done.out
    assert f"{out}: ids.parquet, vectors.npy, _export.json (" in done.out
    assert "no-such" in copied.run("export", "-o", out, "--generation", "no-such").sentence
    assert copied.run("export", "-o", out, "--format", "csv").code == 2
