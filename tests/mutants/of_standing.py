"""Changes to standing queries, and to what a night tells of its catalogue."""

from __future__ import annotations

from .change import Change, loses, worse, wrong

CHANGES: dict[str, list[Change]] = {
    "pipelines/standing/changes.py": [
        wrong(
            " OR before.score IS DISTINCT FROM after.score\n",
            "\n",
            "an item whose score alone changed keeps that of yesterday",
        ),
        wrong(
            "after.rank NULLS LAST", "after.rank NULLS FIRST", "what left a query stands before its answers"
        ),
        wrong(
            "LEFT JOIN (SELECT query_id, min(row) AS place FROM after",
            "LEFT JOIN (SELECT query_id, max(-row) AS place FROM after",
            "changes are in another order than the queries",
        ),
    ],
    "pipelines/standing/verify.py": [
        wrong(
            "if (sha256 := files.sha256(path)) != answers.files[table].sha256:",
            'sha256 = ""\n        if False:',
            "damaged answers pass for whole ones",
        ),
    ],
    "pipelines/standing/job.py": [
        wrong(
            "    if latest and last and last.made_from == made_from:\n",
            '    if latest and last and last.made_from["generation"] == generation.name:\n',
            "a takedown or another file of queries is not answered",
        ),
        wrong(
            '        "options": sha256_json([standing.model_dump(exclude={"name", "queries", "memory"}), reading]),\n',
            "",
            "another k is not answered",
        ),
        wrong(
            "last if last and _is_undamaged(config.store, standing.name, last) else None",
            "last",
            "changes begin with damaged answers",
        ),
        wrong(
            "    if not done.searched:\n",
            "    if False:\n",
            "where no query can be answered, all items leave",
        ),
        worse(
            "        delete_others(config.store, standing.name, latest)",
            "        pass",
            "what a killed run left in its folder stays until something changes",
        ),
    ],
    "pipelines/standing/state.py": [
        wrong(
            "sha256_json([made_from, previous])",
            "sha256_json([made_from])",
            "after a rollback the changes of before are told again",
        ),
        wrong(
            "    return all(held.get(name) == file.size for name, file in answers.files.items())\n",
            "    return True\n",
            "answers without a table count",
        ),
        loses(
            "- {*latest.kept, latest.answers}",
            "- {latest.answers}",
            "whoever missed a night misses its changes",
        ),
        wrong(
            "    files.write_bytes(standing_folder(store, name, LATEST), _json(latest))\n"
            "    delete_others(store, name, latest)",
            "    delete_others(store, name, latest)\n"
            "    files.write_bytes(standing_folder(store, name, LATEST), _json(latest))",
            "answers are deleted before others are named",
        ),
        wrong(
            "return all(held.get(name) == file.size for name, file in answers.files.items())",
            "return all(name in held for name, file in answers.files.items())",
            "answers that are cut short count as whole",
        ),
        wrong(
            "    files.check_digest(path, data, latest.sha256)\n",
            "",
            "a damaged manifest of answers is believed",
        ),
    ],
    "pipelines/index/health.py": [
        wrong("    least = max(", "    least = min(", "in a small catalogue all items are hubs"),
        wrong(
            'if metric == "cosine" else -near', 'if metric == "cosine" else near', "distances are negative"
        ),
    ],
    "pipelines/nightly/pictures.py": [
        worse(
            "if not note.rejected}",
            "}",
            "a picture that ends its decoder ends the night behind its publication",
        ),
    ],
}
