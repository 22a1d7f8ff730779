"""Changes to what `import lookalike` gives to a program."""

from __future__ import annotations

from .change import Change, worse, wrong

CHANGES: dict[str, list[Change]] = {
    "pipelines/api/images.py": [
        wrong(
            "rows[:, 1:] = pixels.reshape(height, -1)",
            "rows[:, 1:] = pixels[..., ::-1].reshape(height, -1)",
            "red and blue of an array change places",
        ),
        wrong(
            "_as_png(exif.upright(pixels, orientation))",
            "_as_png(pixels)",
            "a PIL image lies on its side",
        ),
    ],
    "pipelines/api/encoders.py": [
        wrong(
            "found |= {before + i: error for",
            "found |= {i: error for",
            "an error behind the first batch is told of another image",
        ),
    ],
    "pipelines/api/queries.py": [
        wrong(
            "        start += len(vectors)\n",
            "",
            "images behind the first batch have the numbers of others",
            "tests/pipelines/api/test_stores.py",
        ),
        wrong(
            "ours[one.number - start]",
            "ours[one.number]",
            "an id that is not there fails under the name of another query",
        ),
        wrong(
            "[ours[n - start] for n in block.numbers.tolist()]",
            "ours[: len(block.ids)]",
            "behind an id that is not there queries get each other's matches",
        ),
        worse(
            "numbers.reshape(-1, vectors.type.list_size)",
            "numbers.reshape(len(vectors), -1)",
            "an empty column of vectors is an error",
        ),
        worse(
            "array[None] if array.dtype != object else np.stack(list(array))",
            "array[None]",
            "a column of vectors as NumPy has it is refused",
        ),
    ],
    "pipelines/beam.py": [
        wrong(
            "        if encoder.fingerprint != self._expected:",
            "        if False:",
            "vectors of two encoders are mixed",
        ),
        wrong(
            'errors = {int(row["query_id"]): row["error"] for row in failed.to_pylist()}',
            "errors: dict[int, str] = {}",
            "a vector that cannot be searched for has no matches and no reason",
        ),
    ],
    "pipelines/api/stores.py": [
        wrong(
            "if query_ids is not None and next(names, None) is not None:",
            "if False:",
            "ids that are too many pass for those of other queries",
        ),
        worse(
            "        self._open.close()\n",
            "",
            "a store that is closed keeps a generation from being pruned",
        ),
    ],
}
