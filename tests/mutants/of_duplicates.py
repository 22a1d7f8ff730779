"""Changes to how duplicates are found and grouped."""

from __future__ import annotations

from .change import Change, worse, wrong

JOB = "tests/pipelines/duplicates/test_job.py"

CHANGES: dict[str, list[Change]] = {
    "pipelines/duplicates/completing.py": [
        wrong(
            "            rows = rows.filter(pa.array(near >= least))\n",
            "",
            "what is kept joins what it is not near",
        ),
        wrong("WHERE a.place <> b.place", "WHERE false", "many copies of one picture are several groups"),
    ],
    "pipelines/duplicates/limiting.py": [
        wrong(
            "return Others(pairs, min(pairs, SAMPLED), float(near))",
            "return Others(pairs, SAMPLED, float(near))",
            "fewer than no copies are told as missed",
        ),
        wrong("ORDER BY near DESC, one, other", "ORDER BY near, one, other", "the least near are looked at"),
        wrong(
            "seen * (others.pairs - others.sampled) / others.sampled",
            "seen",
            "copies that are not seen are not told",
        ),
    ],
    "pipelines/duplicates/grouping.py": [
        wrong(
            "            if not joins[first[start]]:\n",
            "            if True:\n",
            "groups of a chain lose members",
        ),
        wrong('near DESC, first"\n', 'near, first"\n', "a member joins the farthest that is kept"),
    ],
    "pipelines/duplicates/neighbours.py": [
        wrong("~shown[rows] | ", "", "what is taken down is in a group"),
        wrong(" | (rows + first == of[:, None])", "", "a picture is its own copy"),
    ],
    "pipelines/duplicates/thumbnails.py": [
        wrong(
            "            return None\n        side",
            "            pass\n        side",
            "a changed picture is compared",
            JOB,
        ),
    ],
    "pipelines/duplicates/results.py": [
        wrong("QUALIFY count(*) OVER (PARTITION BY f.item) > 1", "", "what has no copy is a group", JOB),
        wrong(
            "OVER (ORDER BY side DESC, ", "OVER (ORDER BY ", "what could go is of the other catalogue", JOB
        ),
    ],
    "pipelines/duplicates/threshold.py": [
        wrong(
            "    good = np.flatnonzero(precision >= wished)\n",
            "    good = np.arange(1)\n",
            "no precision is kept",
        ),
        wrong(
            "is_looked_at = near >= least if beyond is None else near > beyond",
            "is_looked_at = near >= least",
            "recall counts pairs that were not looked at",
        ),
        wrong(
            "least = min(max(least, _LEAST), _HIGHEST)",
            "least = min(least, _HIGHEST)",
            "any two pictures of one kind are copies",
        ),
    ],
    "pipelines/duplicates/catalogues.py": [
        wrong(
            "            items += len(shard.items)\n",
            "            items += len(shard.searcher)\n",
            "items of two index shards have one number",
        ),
        wrong(
            "rows = served_rows(shard, excluded[one.side])",
            "rows = served_rows(shard, excluded[0])",
            "what the other catalogue took down is kept",
        ),
    ],
    "pipelines/duplicates/facts.py": [
        wrong(
            "SELECT DISTINCT ON (item) * FROM facts ORDER BY item, shard, place",
            "SELECT DISTINCT ON (item) * FROM facts ORDER BY item, shard DESC, place",
            "of an id in two shards the facts of the other are taken",
        ),
        wrong(
            'if "." in modified else int(modified)',
            "if False else int(modified)",
            "times of object stores end in an error",
        ),
        wrong(
            "metadata = corpora[-1].catalogue.generation.metadata",
            "metadata = corpora[0].catalogue.generation.metadata",
            "the field of the rule is looked for in the wrong catalogue",
        ),
        wrong(
            'pc.if_else(pc.is_nan(table["field"]), None, table["field"])',
            'table["field"]',
            "NaN is the largest value",
        ),
    ],
    "pipelines/duplicates/keeping.py": [
        worse(
            '"width::BIGINT * height DESC"',
            '"width * height DESC"',
            "pictures of 65536 x 65536 pixels end the job",
        ),
    ],
}
