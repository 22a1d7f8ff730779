"""Changes to what a query table means, and to what a query job makes of it."""

from __future__ import annotations

from .change import Change, worse, wrong

CHANGES: dict[str, list[Change]] = {
    "pipelines/query/matching.py": [
        wrong(
            "refused = {int(block.numbers[i]): i for i in reversed(np.flatnonzero(wrong).tolist())}",
            "refused = {int(block.numbers[i]): i for i in np.flatnonzero(wrong)[:1].tolist()}",
            "queries whose filter is refused vanish",
        ),
        wrong(
            "return with_failures(block.only(~wrong), sorted([*block.failures, *failures]))",
            "return with_failures(block.only(~wrong), failures)",
            "failures of before vanish where a filter is refused",
        ),
        wrong(
            "columns is not None and WHERE in columns.column_names)",
            "False)",
            "queries with filters of their own are told as far",
        ),
    ],
    "pipelines/query/report.py": [
        worse(
            "return self.answered + self.reasons.get(NO_MATCH, 0)",
            "return self.answered",
            "queries that no item meets are not counted as searched",
            "tests/pipelines/cli/test_jobs.py",
        ),
    ],
    "pipelines/query/carried.py": [
        worse(
            "names.count(name) > 1 or name in used",
            "names.count(name) > 1",
            "two columns of results have one name",
        ),
    ],
    "pipelines/query/query_files.py": [
        wrong(
            "return sorted(found, key=lambda info: info.path)",
            "return found",
            "the order of files of a folder is that of the disk",
        ),
        wrong(
            "        and not files.is_folder(path)\n", "", "a folder named like a photograph cannot be read"
        ),
    ],
    "pipelines/query/query_table.py": [
        wrong(
            "return self.id_column == QUERY_ID",
            "return self.id_column is not None",
            "neighbouring rows of one item are one query",
        ),
    ],
    "pipelines/query/table_parts.py": [
        wrong(
            "add(check(with_vectors(", "add((with_vectors(", "in stages a table's own filters are not checked"
        ),
    ],
    "pipelines/query/stages.py": [
        wrong(
            '        done.add(reasons={"duplicate": repeated} if repeated else {})\n',
            "",
            "repeated queries are not counted",
        ),
        worse(
            "count += info.size // 16  # bytes",
            "count += 0  # bytes",
            "ids of a long list of queries are held in memory",
        ),
        worse(
            "if not (run.served.asked.exact or run.served.in_words):",
            "if not run.served.in_words:",
            "exact search says that queries are far, in stages",
            "tests/pipelines/query/test_job.py",
        ),
    ],
}
