"""Changes to the pages that people look at."""

from __future__ import annotations

from .change import Change, loses, worse, wrong

CHANGES: dict[str, list[Change]] = {
    "pipelines/pages/album.py": [
        wrong(
            "        if len(address) > self._room:\n",
            "        if False:\n",
            "a page grows without bound",
        ),
        wrong(
            "side = None if box else SIDE",
            "side = SIDE",
            "a box is cut from a picture that was made smaller",
        ),
    ],
    "pipelines/pages/answer_rows.py": [
        wrong(
            "        number = before + np.cumsum(rank == 1) - 1\n",
            "        number = np.cumsum(rank == 1) - 1\n",
            "a query has the matches of another one",
        ),
        wrong(
            "        first = np.flatnonzero(here & (rank <= MATCHES))\n",
            "        first = np.flatnonzero(here)\n",
            "a page holds as many matches as the tables",
        ),
    ],
    "pipelines/pages/result_tables.py": [
        wrong("if block[name].null_count:", "if False:", "a probability that is null ends in a stack trace"),
        wrong(
            "batch.validate(full=True)", "batch.validate()", "text that is not UTF-8 ends in a stack trace"
        ),
    ],
    "pipelines/pages/choosing.py": [
        wrong("        free[chosen] = False\n", "", "a query is shown twice"),
        wrong(
            "take(FAR, far if limit is None else far[near[far] < limit])",
            "take(FAR, far)",
            "what is near stands among what has nothing near",
        ),
    ],
    "pipelines/pages/compared_queries.py": [
        wrong(
            "sides[1].take(places.drop_null())]", "sides[1]]", "a query stands beside another one's matches"
        ),
        wrong("right[1] & ~right[0]", "right[1]", "what both find is said to be found by one"),
    ],
    "pipelines/pages/duplicate_groups.py": [
        wrong("ORDER BY keep DESC, ", "ORDER BY ", "a copy stands where what is kept should"),
        wrong("(one ORDER BY keep DESC, ", "(one ORDER BY ", "the one that is kept is not in front"),
    ],
    "pipelines/pages/new_items.py": [
        wrong(
            "    return candidates - {item_id for ids in went.values() for item_id in ids}\n",
            "    return candidates\n",
            "an item that moved to another shard is new",
        ),
    ],
    "pipelines/pages/night_reports.py": [
        wrong("[-most:]", "[:most]", "the page is of a night long gone"),
    ],
    "pipelines/pages/reject_examples.py": [
        wrong(
            'if one["item_id"] and one["item_id"] not in down:',
            'if one["item_id"]:',
            "a reject that is taken down is shown",
        ),
        wrong(
            'return RejectExample(name or where, album.show(REJECT, name or where), begins.get(name or where, ""))',
            "return RejectExample(name or '', album.show(REJECT, name or ''), begins.get(name or '', \"\"))",
            "rejects without an id have no name",
        ),
    ],
    "pipelines/pages/overview.py": [
        wrong(
            "self.second[start + int(np.searchsorted(first, row)) - 1] = score[row]",
            "self.second[start + int(np.searchsorted(first, row)) - (start == 0)] = score[row]",
            "the second match is another query's",
        ),
    ],
    "pipelines/pages/page.py": [
        wrong("        autoescape=True,\n", "        autoescape=False,\n", "an id is a script"),
        wrong(
            "return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value",
            "return value",
            "an id turns the direction of what follows",
        ),
        wrong(
            "hashlib.sha256(script.encode()).digest()",
            "hashlib.sha256(b'').digest()",
            "the page forbids its own script",
        ),
    ],
    "pipelines/pages/pictures.py": [
        wrong(
            "album.refuse(kind, wanted.filter(is_down).to_pylist(), _DOWN)\n",
            "pass\n",
            "what is taken down is said to be gone",
        ),
        loses(
            "    except (LookalikeError, OSError) as error:\n",
            "    except ZeroDivisionError as error:\n",
            "there is no page of answers whose shards are gone",
        ),
        wrong(
            "asked.setdefault(item_id, []).append(query_id)",
            "asked[item_id] = [query_id]",
            "of two queries by one item one has no picture",
        ),
    ],
    "pipelines/query/note.py": [
        wrong(
            '        "queries": anchored(queries),\n',
            '        "queries": queries,\n',
            "queries are looked for where the page is made",
        ),
    ],
    "pipelines/pages/answers.py": [
        worse(
            "dict.fromkeys([*item_ids, *hubs])",
            "dict.fromkeys(item_ids)",
            "items that many find have no pictures on the page",
        ),
        wrong(
            'return min(known) if generation.metric == "cosine" else max(known)',
            "return max(known)",
            "queries near to one index shard are told as far",
        ),
    ],
    "pipelines/pages/night.py": [
        worse(
            '    found += [one["item_id"] for one in health.get("hubs", ())]\n',
            "",
            "items that many find have no pictures on the page of a night",
        ),
    ],
}
