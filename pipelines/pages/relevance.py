"""Whether a match is relevant to its query, as `lookalike evaluate` sees it, for the frames of a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lookalike.model.errors import LookalikeError

from ..config.job import Corpus
from ..evaluate.labels import as_text, query_labels
from ..evaluate.relevance import read_qrels
from ..filesystem import files
from ..sources.records import DIRECTORY, directory_of


@dataclass(frozen=True)
class Relevance:
    """What tells which matches are relevant.

    Attributes:
        name: of the field or file, for people.
        judge: query id, item id, value of the field of the item -> whether the item is relevant; None if that is not
            known.
        columns: of the results, whose value it wants: one or none.
    """

    name: str
    judge: Callable[[str, str, Any], bool | None]
    columns: tuple[str, ...] = ()

    def of_row(self, row: Mapping[str, Any]) -> bool | None:
        """Whether the match in a row of results is relevant; None if that is not known."""
        value = row[self.columns[0]] if self.columns else None
        return self.judge(str(row["query_id"]), str(row["item_id"]), value)


def relevance_of(name: str, queries: str | None, corpus: Corpus, metadata: Mapping[str, str]) -> Relevance:
    """What a field, `directory` or a file of judgements (TREC qrels) tells.

    Args:
        name: of it.
        queries: path of the queries, which have the field, too; None where it is not known.
        corpus: how the corpus is read.
        metadata: fields of the results, name -> type.

    Raises:
        LookalikeError: if there is no such field or file, or it cannot be read.
        OSError: if the queries cannot be read.
    """
    if name in metadata:
        return _same_value(name, queries, corpus, metadata[name])
    if name == DIRECTORY:
        return Relevance(name, _same_directory)
    if not files.exists(name):
        carried = ", ".join(metadata) or "none"
        raise LookalikeError(
            f"Expected a field of the results (now: {carried}), `{DIRECTORY}` or a file of TREC qrels. "
            f"Received: {name}"
        )
    judgements = read_qrels(name)

    def judged(query_id: str, item_id: str, _: Any) -> bool | None:
        grades = judgements.get(query_id)
        return None if grades is None else grades.get(item_id, 0) > 0

    return Relevance(name.rpartition("/")[2], judged)


def _same_value(name: str, queries: str | None, corpus: Corpus, kind: str) -> Relevance:
    if queries is None:
        raise LookalikeError(f"Expected --queries, which have the field {name}, too. Received: none")
    labels = {
        query_id: as_text(value) for query_id, value in query_labels(name, queries, corpus, kind).items()
    }
    if not any(labels.values()):
        raise LookalikeError(f"Expected queries with the field {name}. Received: none in {queries}")

    def same(query_id: str, _: str, value: Any) -> bool | None:
        wanted = labels.get(query_id)
        return wanted == as_text(value) if wanted else None

    return Relevance(name, same, (name,))


def _same_directory(query_id: str, item_id: str, _: Any) -> bool | None:
    wanted = directory_of(query_id)
    return None if wanted is None else wanted == directory_of(item_id)
