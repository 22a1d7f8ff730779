"""Changes to how an index is tuned, and to the copies behind its vectors."""

from __future__ import annotations

from .change import Change, loses, worse, wrong

SHOWN = "tests/pipelines/index/test_shown.py"

CHANGES: dict[str, list[Change]] = {
    "pipelines/index/copies.py": [
        wrong(
            "    if not _agree(vectors, first, which):\n",
            "    if False:\n",
            "two vectors of one hash are taken for one",
        ),
        wrong(
            "return first[order].astype(np.int64), place[which.reshape(-1)]",
            "return first[order].astype(np.int64), which.reshape(-1)",
            "ids stand behind vectors of others",
        ),
    ],
    "pipelines/index/filters.py": [
        wrong(
            'if len(cursor.extract_statements(f"SELECT\\n{text}\\n")) != 1:',
            "if False:",
            "brackets that a filter closes itself change what it means",
        ),
        worse(
            'config={"temp_directory": ""}',
            "",
            "the parser of filters reads files in .tmp",
        ),
        worse("in bound - known:", "in bound:", "a lambda whose parameter is called as a column hides it"),
        worse(
            "        name.lower()\n        for node", "        name\n        for node", "a lambda tells case"
        ),
        worse(
            "while number in {name.lower() for name in names}:",
            "while number in names:",
            "no filter looks at a column Row",
        ),
        wrong("    _check_nodes(nodes)\n", "    pass\n", "a filter reads tables, or changes from run to run"),
        wrong(
            "            except duckdb.Error:\n                # Far slower",
            "            except ZeroDivisionError:\n                # Far slower",
            "one item for which a filter cannot be computed fails all",
        ),
    ],
    "pipelines/index/diversity.py": [
        worse(
            "if step + 1 < order.shape[1] and left.any():",
            "if step + 1 < order.shape[1]:",
            "an IndexError where no query has a match",
        ),
        worse("np.where(left, like, 0)", "like", "a warning where a query has fewer matches than places"),
        wrong(
            "relevance = -np.sort(-near.astype(np.float64), axis=1)",
            "relevance = near.astype(np.float64)",
            "diversity undoes the order of re-ranking",
        ),
        wrong(
            "like = np.maximum(like, nearness(found, metric).astype(np.float64))",
            "like = nearness(found, metric).astype(np.float64)",
            "a match need be unlike the one before only",
        ),
    ],
    "pipelines/index/groups.py": [
        wrong(
            "    begins[1:] = (in_order[1:] != in_order[:-1]) | (of_run[1:] != of_run[:-1])\n",
            "    begins[1:] = in_order[1:] != in_order[:-1]\n",
            "a group that one query has is missing for the next",
        ),
        wrong(
            "self.codes[nulls] = known + np.arange(np.count_nonzero(nulls))",
            "self.codes[nulls] = known",
            "items without a value are one group",
            "tests/pipelines/index/test_conditions.py",
        ),
    ],
    "pipelines/index/filter_functions.py": [
        wrong("if name in _ANY_SIZE:", "if False:", "a filter of 20 letters takes all memory"),
        wrong("and int(length) <= _MOST_PADDED", "", "a filter of 20 letters takes all memory by padding"),
    ],
    "pipelines/index/ordering.py": [
        wrong(
            "kept = first_of_groups(codes, per_group) & ~np.isneginf(found.near)",
            "kept = ~np.isneginf(found.near)",
            "a group has more matches than it may",
        ),
    ],
    "pipelines/index/shown.py": [
        wrong(
            "return shard.shown[~np.isin(shard.shown, shard.rows_of(excluded))]",
            "return shard.shown",
            "what was taken down is exported, and kept of duplicates",
        ),
        wrong(
            "shard.shown[~np.isin(shard.shown,",
            "np.arange(len(shard.items))[~np.isin(np.arange(len(shard.items)),",
            "what is no longer served is exported, and kept of duplicates",
        ),
        wrong(
            "np.concatenate([shard.hidden, taken_down[taken_down >= 0]])",
            "taken_down[taken_down >= 0]",
            "what is no longer served is found",
        ),
        wrong(
            "skip is None and bool(appears.all())",
            "skip is None",
            "what does not appear is found where nothing is skipped",
        ),
        wrong(
            "np.minimum(counts, k * (1 + shown.skips))",
            "np.minimum(counts, k)",
            "matches are missing where a query skips one of many copies in groups",
        ),
        wrong(
            "behind = (numbers == self._skipped_number[queries]) & (rows >= self._skipped[queries])",
            "behind = False",
            "of copies the one that is to be skipped is listed, and another is not",
        ),
        wrong(
            "(rows >= self._skipped[queries])",
            "(rows > self._skipped[queries])",
            "of copies the one that is to be skipped is listed",
        ),
        loses(
            "self._skipped = np.where(appears[rows], rows, -1) if len(appears) else rows",
            "self._skipped = rows",
            "a copy vanishes where another is taken down and skipped",
        ),
        wrong("appears[gone] = False", "pass", "what is taken down is listed"),
        wrong(
            "appears &= groups.first_of_vectors(shard.offsets, appears, self.skips)",
            "pass",
            "a group of many copies hides the others of its vector",
        ),
        wrong(
            "np.where(found.near >= _kth(found, counts, k)[:, None], np.minimum(counts, k), 0)",
            "np.where(found.near > _kth(found, counts, k)[:, None], np.minimum(counts, k), 0)",
            "the k-th item is missing",
        ),
        wrong("np.minimum(counts, k), 0)", "np.minimum(counts, 1), 0)", "of copies only one is listed"),
        wrong(
            "enough = np.cumsum(counts, axis=1) >= k",
            "enough = np.cumsum(counts, axis=1) > 0",
            "an answer is taken for complete after its first vector",
        ),
        wrong(
            "return np.where(enough[:, -1], kth, np.float32(-np.inf))",
            "return kth",
            "answers are shorter than k where more must be asked for",
        ),
        wrong(
            ".take(pa.array(queries))\n        none",
            "\n        none",
            "in parts another query's item is skipped",
        ),
    ],
    "pipelines/index/shard.py": [
        wrong(
            "            gone |= np.isin(rows, self.hidden)\n",
            "            pass\n",
            "an id has the vector that it had before",
            "tests/pipelines/index/test_opening.py",
        ),
        wrong(
            "items.take(order), None if origins is None else origins.take(order)",
            "items.take(order), origins",
            "of copies others are hidden than those that went",
            "tests/pipelines/index/test_growth.py",
        ),
        wrong(
            'return np.searchsorted(self.offsets, rows, side="right") - 1',
            'return np.searchsorted(self.offsets, rows, side="left")',
            "an id has the vector of another",
            SHOWN,
        ),
        wrong(
            '[("number", "ascending"), (ITEM_ID, "ascending")]',
            '[("number", "ascending")]',
            "of copies not the first by id are listed",
            SHOWN,
        ),
        wrong(
            "        count=len(items),\n",
            "        count=len(vectors),\n",
            "an index tells fewer items than it has",
            SHOWN,
        ),
        wrong(
            "    vectors = checked(content.vectors, content.metric)\n",
            "    vectors = content.vectors\n",
            "a vector that cannot be searched is named by another number",
        ),
        loses(
            "        sync(os.path.join(folder, name))\n", "        pass\n", "a power cut leaves half an index"
        ),
        loses("    sync(path)\n", "", "a power cut leaves an index without its manifest"),
    ],
    "pipelines/index/trials.py": [
        wrong(
            "            aside |= rows == own[:, None]\n",
            "            pass\n",
            "a tuning query is its own hit",
        ),
        wrong(
            "aside = near > np.float32(limit)",
            "aside = near == np.inf",
            "recall is measured with near copies, which every setting finds",
        ),
        wrong(
            "            _mark_groups(searcher, queries, rows, aside, limit, most)\n",
            "            pass\n",
            "recall is measured with other views of the same thing, which every setting finds",
        ),
        wrong(
            "near >= self._near[asked, k - 1 : k]",
            "near >= self._near[asked, -1:]",
            "recall at 10 is measured as recall at the largest k",
        ),
        wrong(
            "return np.minimum(hits.sum(axis=1), k) / k",
            "return hits.sum(axis=1) / k",
            "ties make a recall above 1",
        ),
        worse(
            "leaves, pre_reorder + int(skipped[0])",
            "leaves, pre_reorder",
            "near copies take the places of candidates, and the index is searched too deeply",
        ),
        wrong(
            "self._numbers = np.flatnonzero((~aside).sum(axis=1) >= most)",
            "self._numbers = np.arange(len(queries))",
            "queries in a heap of copies find nothing and count as found",
        ),
        wrong("mean - _CONFIDENCE * error", "mean", "the target is reached by luck"),
        wrong(
            '"disturbed": Trial(searcher, disturbed, most, found=of_disturbed),\n',
            "",
            "recall is measured with members only",
            "tests/pipelines/index/test_tuning.py",
        ),
        wrong(
            "trials[ASKED] = asked_trial(searcher, most, asked)",
            "pass",
            "the user's queries decide nothing",
        ),
        wrong(
            '        "isolated": as_they_are.isolated(),\n',
            "",
            "queries of a small part of the catalogue are lost in a mean",
            "tests/pipelines/index/test_tuning.py",
        ),
        wrong(
            "range(_MIXED)",
            "range(1)",
            "disturbed members are as easy as members",
        ),
        wrong(
            "np.argsort(tenth, kind",
            "np.argsort(-tenth, kind",
            "the densest parts of the catalogue are taken for the sparsest",
        ),
        wrong(
            "limit = 1 - _NEAR_COPY * apart / 2",
            "limit = 1 - _NEAR_COPY * apart / 200",
            "near copies are not taken out",
        ),
    ],
    "pipelines/index/tuning.py": [
        wrong(
            "best, best_cost = exactly(k, target), min(exact_cost(shape), below)",
            "best, best_cost = exactly(k, target), exact_cost(shape)",
            "an index is built in the dearer of two ways",
        ),
        wrong(
            "enough = tried.recall_lower >= target",
            "enough = tried.recall >= target",
            "the target is reached by luck",
        ),
        worse(
            "if enough and (price := cost(shape, leaves, pre_reorder)) < best_cost:",
            "if enough and (price := cost(shape, leaves, pre_reorder)):",
            "not the cheapest setting is chosen",
        ),
        wrong(
            "if not below.pre_reorder or not (above or below).pre_reorder:",
            "if not below.pre_reorder:",
            "a k whose neighbour needs exact search is searched with no candidates",
        ),
        wrong("        grown = k / below.k\n", "        grown = 1\n", "beyond the tuned k recall falls"),
        wrong(
            "leaves = below.leaves_to_search + share *",
            "leaves = below.leaves_to_search + 0 *",
            "between two k recall falls",
        ),
        wrong(
            "return [*TUNED_KS, *([k] if k > TUNED_KS[-1] else [])]",
            "return list(TUNED_KS)",
            "a large query.k is not tuned for",
        ),
        wrong(
            "return exactly(k, target, reached.recall)",
            "return reached",
            "an index is published that misses its recall",
        ),
        worse(
            "cost(shape, deepest, 2 * pre_reorder) < best_cost",
            "False",
            "where the grid ends all vectors are compared",
        ),
    ],
    "pipelines/index/searcher.py": [
        wrong(
            "depth = None if exact else depth_for(self.settings, max(1, wanted - _SLACK))",
            "depth = None if exact else depth_for(self.settings, 1)",
            "for more results the search is no deeper",
        ),
        wrong("_EXACT_SLACK = 8", "_EXACT_SLACK = 0", "near ties of distances come in another order"),
    ],
    "pipelines/index/cheapest.py": [
        wrong(
            "trials = trials_for(searcher, options, asked)",
            "trials = trials_for(searcher, options, None)",
            "the user's queries decide nothing",
            "tests/pipelines/index/test_tuning.py",
        ),
        worse(
            "if best is None or price(shape, searcher.settings, options.k) < least:",
            "if best is None:",
            "an index without codes is built where codes are cheaper",
        ),
        wrong(
            'parameters = replace(parameters, algorithm="brute_force", leaves=0)',
            "pass",
            "an index that is searched exactly says that it has codes",
            "tests/pipelines/index/test_tuning.py",
        ),
        wrong(
            'if metric == "euclidean" and _is_extreme(vectors):',
            "if False:",
            "vectors too long to square are searched approximately",
        ),
    ],
    "pipelines/index/training.py": [
        worse(
            'if parameters.algorithm == "flat_tree":',
            "if False:",
            "an index that is said to have no codes has them",
        ),
    ],
    "pipelines/index/clusters.py": [
        worse(
            "    centres = vectors[order[:count]]\n    for share",
            "    return vectors[order[:count]]\n    for share",
            "leaves are where chance put them, and many must be searched",
        ),
        worse(
            "    means[empty[: len(largest)]] = vectors[order[ends[largest] - 1]]\n",
            "",
            "leaves stay empty while others are large",
        ),
        wrong(
            "            near -= half\n",
            "            pass\n",
            "under euclidean long centres draw all vectors",
        ),
    ],
    "pipelines/index/stored.py": [
        worse(
            "(0x7FFF + ((bits >> 16) & 1))",
            "0",
            "bfloat16 is cut off, with twice the error",
        ),
        wrong(
            "    halves[(halves & 0x7FFF) == _INFINITY] -= _INFINITY - _LARGEST\n",
            "",
            "the longest vectors become infinite",
        ),
        wrong("        bits <<= 16\n", "", "bfloat16 is read as numbers near zero"),
    ],
    "pipelines/index/build.py": [
        wrong(
            'if config.index.bytes != "float32":',
            "if False:",
            "an index of other bytes is used again",
        ),
        wrong(
            '        "tuning": tuned_by(config, asked),\n',
            "",
            "an index of another recall target is used again",
        ),
        wrong(
            '        "metadata": dict(config.corpus.metadata),\n        "scann"',
            '        "scann"',
            "an index without the metadata that is configured is used again",
        ),
        worse('        "scann": version("scann"),\n', "", "files of another ScaNN are used again"),
        wrong(
            "with open_whole(path, source.sha256) as file:",
            "with files.open_read(path) as file:",
            "damaged vectors are indexed",
        ),
        wrong(
            "        if end <= task.vectors:\n",
            "        if True:\n",
            "a file of more vectors than its note says is not told",
        ),
        wrong(
            'parts["augmentation"] = plan.augmentation.model_dump()',
            "pass",
            "an index of vectors that are not augmented is used again",
        ),
        wrong(
            "tuned_ks(config.query.k), asked.digest if asked else None]",
            "tuned_ks(config.query.k)]",
            "an index tuned with other queries is used again",
        ),
        wrong(
            "return replace(content, items=plain.items, vectors=drawn, origins=None)",
            "return replace(content, vectors=drawn, origins=None)",
            "after augmentation ids stand behind vectors of others",
            "tests/pipelines/index/test_post_processing.py",
        ),
    ],
    "pipelines/index/growth.py": [
        wrong(
            "    if task.addition is None or isinstance(base.searcher.vectors, StoredVectors):\n",
            "    if task.addition is None:\n",
            "vectors are rounded twice",
            "tests/pipelines/index/test_changes.py",
        ),
        wrong(
            "        if min(recalls.values()) < task.least:\n            return None\n",
            "",
            "a grown index of too low a recall fails the night, and is not built anew",
        ),
        wrong("    if change.count > most:\n", "    if False:\n", "an index shard is never built anew"),
        wrong(
            "digest = sha256_json([self.base.manifest_sha256, self.whole.path])",
            "digest = sha256_json([self.whole.path])",
            "an addition to another index shard is used",
        ),
    ],
    "pipelines/index/changes.py": [
        worse(
            "pc.or_(pc.equal(ours, theirs).fill_null(False), pc.and_(ours.is_null(), theirs.is_null()))",
            "pc.equal(ours, theirs).fill_null(False)",
            "items without a value are new each night",
        ),
        wrong(
            "pc.equal(ours, theirs).fill_null(False)",
            "pc.equal(ours, theirs).fill_null(True)",
            "an item whose value went comes back with it",
        ),
        wrong(
            "        equal &= _equal(held",
            "        _equal(held",
            "an item keeps its old metadata",
        ),
        wrong(
            "    equal = are_stored(base.searcher.vectors, base.numbers_of(rows[place[both]]), vectors[both])\n",
            "    equal = np.ones(len(both), bool)\n",
            "an item keeps its old vector",
        ),
        wrong(
            "if pa.types.is_nested(ours.type) or pa.types.is_floating(ours.type):",
            "if pa.types.is_nested(ours.type):",
            "an item whose metadata is NaN is hidden and added every night",
            "tests/pipelines/index/test_changes.py",
        ),
        wrong(
            "    of_base[gone[found[found >= 0]]] = of_item[found >= 0]\n",
            "",
            "what lies in another file than before, and is the same, is gone",
        ),
        worse(
            '    order = pc.sort_indices(items, [(ITEM_ID, "ascending")])\n',
            "    order = pa.array(np.arange(len(items)))\n",
            "what a night that was killed left is other than what it makes when it is run again",
        ),
    ],
    "pipelines/index/making.py": [
        wrong(
            "if (base := bases[task.number]).decided_by == task.decided_by",
            "if (base := bases[task.number])",
            "an index shard that other settings decided goes on growing",
        ),
        wrong(
            "        and is_whole(config.store, base.path, base.manifest_sha256)\n",
            "",
            "an index shard that was lost grows, and no query can be answered",
        ),
        worse(
            "        and not (task.number == worst and by_now[worst] > share)\n",
            "",
            "index shards that grew beyond the fraction wait until they have grown by twice of it",
        ),
    ],
    "pipelines/index/grown_recall.py": [
        wrong(
            "found if kind == ASKED else (1 - new) * known + new * found",
            "found if kind == ASKED else known",
            "what new items find is not in the recall",
        ),
        wrong(
            "found if kind == ASKED else (1 - new) * known + new * found",
            "(1 - new) * known + new * found",
            "what the user's queries find in an index shard that grew is told as it was before",
        ),
        worse(
            "            if lost <= wide:\n",
            "            if True:\n",
            "hidden vectors take places of those that are served, and recall is told too low",
        ),
    ],
    "pipelines/index/gates.py": [
        wrong(
            "gates = tuple(sorted(counts, key=EXIT_CODES.__getitem__))",
            "gates = tuple(counts)",
            "the exit code is that of the gate looked at first",
        ),
        wrong(
            "    least = config.gates.min_recall\n",
            "    least = config.index.recall_target\n",
            "gates.min_recall is not used",
        ),
        wrong(
            "    for ref in indexes:\n",
            "    for ref in indexes[:1]:\n",
            "only the first index shard must reach its recall",
        ),
    ],
    "pipelines/query/words.py": [
        wrong(
            "unit_length((1 - share) * unit_length(vectors[beside]) + share * words[beside])",
            "unit_length(share * unit_length(vectors[beside]) + (1 - share) * words[beside])",
            "a picture weighs what the words should",
        ),
        wrong(
            "if place in found.errors:",
            "if False:",
            "a text that cannot be read is asked with nothing",
        ),
        wrong("WEIGHT = 0.5", "WEIGHT = 0.3", "the default weight of words is another"),
        wrong(
            "texts = [text and utf8_of(text).strip() for text in as_list(columns[TEXT])]",
            "texts = [text and utf8_of(text) for text in as_list(columns[TEXT])]",
            "a text of spaces asks with nothing",
        ),
        wrong(
            "understood[row] = found.understood[place]",
            "understood[place] = found.understood[place]",
            "results tell the words of other queries",
        ),
    ],
    "pipelines/query/far_queries.py": [
        worse(
            "limits.min(initial=np.inf)",
            "limits.max(initial=-np.inf)",
            "queries near to one index shard are told as far",
        ),
        worse("self._told = True", "pass", "the warning is given for every block"),
        worse("self._far <= _MANY * self._queries", "self._far <= 0", "one far query is a warning"),
    ],
    "pipelines/query/tuning_queries.py": [
        wrong(
            "digest = sha256_json([files.sha256(file.path) for file in listed])",
            "digest = sha256_json([path])",
            "an index tuned with yesterday's queries is taken for one of today's",
        ),
    ],
    "pipelines/store/index_manifest.py": [
        wrong(
            "return min((kind.mean for kind in self.recalls.values()), default=1.0)",
            "return max((kind.mean for kind in self.recalls.values()), default=1.0)",
            "the gate takes the higher recall",
            "tests/pipelines/index/test_tuning.py",
        ),
        wrong(
            "if isinstance(written, dict):",
            "if False:",
            "an index of before cannot be opened",
        ),
    ],
    "pipelines/sources/cuts.py": [
        worse(
            "ranks[start + least : end - least + 1].argmin()",
            "ranks[start + least : start + least + 1].argmin()",
            "one image more changes all shards behind it",
        ),
        wrong("middle = start + least + int(", "middle = start + int(", "parts are smaller than the least"),
        loses(
            "waiting += [(middle, end), (start, middle)]",
            "waiting += [(start, middle)]",
            "images are in no shard",
        ),
        worse(
            "_names(digests[start][8:].hex() for start in starts[1:])",
            '_names(f"{n:012x}" for n, _ in enumerate(starts[1:], 1))',
            "one shard more renames all behind it",
        ),
    ],
    "pipelines/sources/roots.py": [
        worse(
            'return "/" + os.path.abspath(path.removeprefix("file://")).replace(os.sep, "/").lstrip("/")',
            'return path.removeprefix("file://")',
            "a relative path names other shards than an absolute one",
        ),
        worse(
            "if len(set(parts)) > 1:\n            break",
            "if False:\n            break",
            "shards of two folders have names of one",
        ),
    ],
    "pipelines/sources/find.py": [
        wrong(
            "        elif not _is_same(first, shard):\n",
            "        elif False:\n",
            "of two shards of one name one vanishes",
        ),
        worse("if listed.size > options.max_bytes:", "if False:", "a list of paths of any size is read"),
    ],
    "pipelines/sources/pack.py": [
        loses(
            "in reversed(parts.items()):",
            "in parts.items():",
            "an interrupted pack loses images of the one before",
        ),
        loses(
            "files.delete_files(files.join(out, shard) for shard in removed)",
            "files.delete_files(files.join(out, shard) for shard in present - parts.keys() - {NOTE})",
            "pack deletes files that are not its own",
        ),
        worse(
            "unchanged += not files.write_if_changed(",
            "unchanged += not (lambda p, w: files.write_if_changed(p, w) or True)(",
            "a second pack tells every shard as written",
        ),
        wrong(
            "removed = sorted((earlier & present) - parts.keys())",
            "removed = []",
            "images that were deleted stay in shards of before",
        ),
    ],
    "pipelines/sources/opening.py": [
        wrong(
            "listed.size != found.size or not _same_time(listed, found)",
            "listed.size != found.size",
            "a file of the same size that was replaced is read under the note of the other",
        ),
        wrong(
            "    if listed.size != found.size or not",
            "    if not",
            "a file that grew is read under the note of before",
        ),
        worse(
            "_NOT_THERE = (errno.ENOENT, errno.ENOTDIR,",
            "_NOT_THERE = (errno.ENOTDIR,",
            "a shard that is gone ends the night",
        ),
        wrong(
            "        if error.errno not in _NOT_THERE:\n            raise\n",
            "",
            "a disk that fails counts as a shard that changed",
        ),
    ],
    "pipelines/index/among.py": [
        wrong(
            "part = numbers[start : start + step]",
            "part = numbers[start : start + step - 1]",
            "the last of each part that is gathered is not compared",
        ),
    ],
}
