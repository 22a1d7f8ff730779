"""Changes to search, publication and the jobs around them."""

from .change import Change, loses, worse, wrong

STEPS = "tests/pipelines/index/test_steps_and_conditions.py"

CHANGES: dict[str, list[Change]] = {
    "pipelines/index/scores.py": [
        wrong("    scores[rows < 0] = np.nan\n", "", "no row has the score of the last vector"),
        wrong(
            "    if off.any():\n        extreme",
            "    if False:\n        extreme",
            "long vectors are nearer than short ones under cosine",
        ),
        wrong(
            'near = scores if metric == "cosine" else -scores',
            "near = scores",
            "under euclidean the farthest is nearest",
        ),
        wrong(
            "np.where(np.isnan(near), np.float32(-np.inf), near)",
            "np.nan_to_num(near)",
            "what is no candidate is one of score 0",
        ),
        worse(
            'np.clip(np.einsum("qd,qwd->qw", queries[part], gathered), -1, 1, out=scores[part])',
            'scores[part] = np.einsum("qd,qwd->qw", queries[part], gathered)',
            "a cosine may be a little above 1",
        ),
        wrong(
            "for start in range(worker * step,",
            "for start in range(0 * step,",
            "with two threads some scores are missing",
        ),
        worse(
            "    if not np.isfinite(lengths).all():",
            "    if False:",
            "NaN is indexed",
        ),
        wrong(
            'found = float(np.sqrt(np.einsum("nd,nd->n", off, off).max()))',
            'found = float(np.sqrt(np.einsum("nd,nd->n", off, off).min()))',
            "near ties far from the centre are taken for clear",
        ),
        wrong(
            "                _measure_extremes(vectors, queries[part], rows[part], scores[part])\n",
            "",
            "distances of 1e-25 are zero",
        ),
    ],
    "pipelines/index/ordering.py": [
        wrong(
            'order = np.argsort(-found.near[wrong], axis=1, kind="stable")',
            'order = np.argsort(found.near[wrong], axis=1, kind="stable")',
            "the farthest come first",
        ),
        wrong(
            "    members[:, :-1] |= equal\n",
            "",
            "the first of a tie is not in it",
        ),
        wrong(
            "order = np.lexsort((place, -part_near), axis=1)",
            "order = np.lexsort((-place, -part_near), axis=1)",
            "ties go against the order of their ids",
        ),
        wrong(
            "    back[np.concatenate(places)] = np.arange(len(row))\n",
            "    back[:] = np.arange(len(row))\n",
            "of several shards, matches get each other's ids",
        ),
    ],
    "pipelines/index/nearest.py": [
        wrong(
            "of_part = _Wanted(k, True, wanted.floor",
            "of_part = _Wanted(k, wanted.exact, wanted.floor",
            "groups that are searched one by one miss some",
        ),
        wrong(
            "settled = (most[places] == 0) | _settled(horizon, np.maximum(last, wanted.floor), metric, radius)",
            "settled = np.ones(len(places), bool)",
            "fewer than k are found where groups or filters leave more",
        ),
        wrong(
            "near[shown.counts(positions, row) == 0] = -np.inf",
            "pass",
            "items that were taken down are found",
        ),
        wrong(
            "        fetch *= 2\n", "        break\n", "queries with ties or hidden items are not answered"
        ),
        wrong(
            "return everything | (clear & np.isfinite(kth))",
            "return np.ones(len(everything), bool)",
            "ties across the last place are broken by chance",
        ),
        wrong(
            "            clear = kth - horizon > ROUNDING\n",
            "            clear = kth - horizon >= 0\n",
            "ties across the last place are broken by chance",
        ),
        wrong(
            "clear = horizon**2 - kth**2 > ROUNDING",
            "clear = horizon**2 - kth**2 >= 0 * ROUNDING",
            "ties across the last place are broken by chance under euclidean",
        ),
        wrong(
            "score = pair_scores(shard.searcher.vectors, checked(queries, metric), row, metric)",
            "pass",
            "copies of one picture have two scores",
        ),
        wrong(
            "near[near < wanted.floor] = -np.inf",
            "pass",
            "matches are below the threshold",
            "tests/pipelines/index/test_conditions.py",
        ),
        wrong(
            "counted = near[:, : max(1, fetch // 2)] if halved else near",
            "counted = near",
            "recall falls where what passes a filter is far",
        ),
        wrong("    near[near < wanted.floor] = -np.inf\n", "", "matches below the threshold are listed"),
        wrong(
            "    near[near < wanted.floor] = -np.inf\n",
            "    near[near <= wanted.floor] = -np.inf\n",
            "a match of just the threshold is left out",
        ),
        wrong(
            "skipped = skip if skip is None or one else [_at(skip, place) for place in positions.tolist()]",
            "skipped = skip",
            "under filters of their own queries skip each other's items",
        ),
    ],
    "pipelines/index/search.py": [
        worse(
            'for what in ("metric", "dim", "encoder_fingerprint"):',
            'for what in ("metric", "dim"):',
            "vectors of two encoders are compared",
        ),
        wrong('score = near if metric == "cosine" else -near', "score = near", "distances are negative"),
        wrong(
            "    vectors = np.full((len(ids), shards[0].manifest.dim), np.nan, np.float32)",
            "    vectors = np.zeros((len(ids), shards[0].manifest.dim), np.float32)",
            "an unknown id has a vector",
        ),
    ],
    "pipelines/index/drift.py": [
        worse(
            "math.ceil(self.share * len(shard.shown))",
            "int(self.share * len(shard.shown))",
            "of small index shards no item is looked at",
        ),
        wrong(
            'self._merged("new"), metric, sum(ref.count for ref in self.after))',
            'self._merged("new"), metric, sum(ref.count for ref in self.before))',
            "hubs are told by the size of the last catalogue",
        ),
        wrong(
            '(("old", both), ("new", after))',
            '(("old", both), ("new", both))',
            "the new generation is asked with the vectors of the old one",
        ),
        wrong(
            "Asked(K, exclude_self=True)",
            "Asked(K, exclude_self=False)",
            "drift counts each item as its own match",
        ),
        wrong(
            "len(a & b) / max(len(a), len(b))",
            "len(a & b) / max(1, min(len(a), len(b)))",
            "answers that were lost do not count as drift",
        ),
        wrong(
            'asked = () if in_both is None else ("old", "new") if name == "kept" else ("new",)',
            'asked = () if in_both is None else ("new",)',
            "shards that stay are not asked what they answered before",
        ),
        wrong(
            "np.unique(np.linspace(0, count - 1,",
            "np.unique(np.linspace(0, count // 2,",
            "drift of the last items is not seen",
        ),
    ],
    "pipelines/index/carried.py": [
        wrong(
            "lacking = set(config.corpus.metadata).difference(with_values)",
            "lacking = set()",
            "a field that no record has is served as nulls",
        ),
        wrong(
            "            return  # it is served as it was; who knows what it has",
            "            continue",
            "a shard that changes during a night ends it",
        ),
        wrong(
            "(known is None or not known.has_null_count or known.num_values)",
            "(known and known.num_values)",
            "a column that is not counted is taken for empty",
        ),
    ],
    "pipelines/index/checks.py": [
        wrong(
            "known = (rows >= 0) & (not checks.again)",
            "known = rows >= 0",
            "gates.digests: all looks into new files only",
        ),
        wrong(
            "numbers[rows[known]] = np.flatnonzero(known)",
            "numbers[rows[known]] = rows[known]",
            "ids that were read before are taken for those of another shard",
        ),
        wrong(
            "    numbers[others] = len(notes) + np.arange(len(others))\n",
            "",
            "what left the corpus for a night is read again",
        ),
        wrong(
            "self.table.with_values(np.arange(self.shards))",
            "self.table.with_values(np.arange(len(self.table)))",
            "a field that only shards had that are gone is served as nulls",
        ),
    ],
    "pipelines/index/keeping.py": [
        wrong(
            "self.before.rows(schema, part, self.to.parts)",
            "()",
            "ids of the nights before the last are not compared",
            "tests/pipelines/index/test_checks.py",
        ),
    ],
    "pipelines/index/duplicates.py": [
        wrong(
            "min(shard) AS first", "max(shard) AS first", "the last shard's record is served, not the first's"
        ),
        wrong("HAVING count(*) > 1 OR", "HAVING count(*) > 2 OR", "an id in two shards is served twice"),
        loses("WHERE first < shard OR gone", "WHERE true", "an id in two shards is not served at all"),
        wrong(
            'rows.filter(pc.less(rows["shard"], self.shards))',
            "rows",
            "ids are left out that only shards have that are gone",
            "tests/pipelines/index/test_checks.py",
        ),
        wrong("OR any_value(gone)\n", "\n", "what was taken down is indexed"),
        wrong("ORDER BY shard, item_id", "", "what is left out is not found beside its shard"),
        wrong(
            "return len(together.unique()) == len(together)",
            "return True",
            "an id in two shards is served twice",
        ),
        worse("if held > _FEW_BYTES:", "if False:", "all ids of a part are held in memory"),
    ],
    "pipelines/index/embeddings.py": [
        wrong(
            "        if digest.hexdigest() != sha256:\n",
            "        if False:\n",
            "damaged embedding files are indexed",
        ),
        wrong("        opened.seek(0)\n", "", "a file that does not fit into memory is called damaged"),
    ],
    "pipelines/index/ids.py": [
        wrong(
            "            if not is_whole(",
            "            if False and not is_whole(",
            "damaged files of rejects are not found",
        ),
    ],
    "pipelines/index/inputs.py": [
        wrong(
            "vectors[number] += note.embedded + note.reused - len(ids)",
            "vectors[number] += note.embedded - len(ids)",
            "embeddings that were known are not indexed",
        ),
        wrong("rows.add(number, note, ids)", "rows.add(number, note, [])", "what was taken down is indexed"),
    ],
    "pipelines/index/job.py": [
        worse(
            "        check_carried(config, plan.shards, read.carried)\n",
            "",
            "a field that no record has is published as a column of nulls",
            "tests/pipelines/index/test_carried.py",
        ),
        loses("    still_mine()\n", "", "a run publishes though it lost the store"),
        wrong(
            "        and all(is_whole(config.store, ref.path, ref.manifest_sha256) for ref in previous.indexes)\n",
            "",
            "a night whose index was deleted is taken for unchanged",
        ),
        wrong("        check_damage(read.damaged)\n", "", "damaged embedding files are indexed"),
        wrong(
            "        check_index(config, made.indexes, overlap)\n",
            "",
            "an index of too low a recall is published",
        ),
        wrong(
            '        check_counts(config, notes, {**counts, "between_shards": inputs.duplicates}, previous)\n',
            "",
            "a corpus that shrank is published",
        ),
        wrong(
            "        check_counts(config, plan.notes, {**previous.counts,",
            "        (lambda *_: None)(config, plan.notes, {**previous.counts,",
            "a gate that was made stricter is not asked in an unchanged night",
        ),
        wrong(
            '        "excluded": sha256_json(excluded.to_pylist()),\n',
            "",
            "a night after a takedown is taken for unchanged",
        ),
        wrong(
            '        "metadata": dict(config.corpus.metadata),\n        "index"',
            '        "index"',
            "a night with other metadata is taken for unchanged",
        ),
        wrong(
            '"index": [*tuned_by(config, asked), config.index.shard_vectors],',
            '"index": tuned_by(config, asked),',
            "a night with smaller index shards is taken for unchanged",
        ),
        wrong(
            '        "encoder": encoder,\n        "metric"',
            '        "metric"',
            "a night with another encoder is taken for unchanged",
        ),
        wrong(
            '        others["augmentation"] = augmentation.model_dump()\n',
            "        pass\n",
            "a night with other augmentation is taken for unchanged",
        ),
        worse(
            "max(generations.names(config.store), default=None)",
            "previous.name if previous else None",
            "after a rollback a generation may take the name of another",
        ),
    ],
    "pipelines/index/sizing.py": [
        wrong(
            "    if needed <= memory:\n", "    if True:\n", "index shards that no worker could hold are begun"
        ),
        wrong(
            "        if _largest(places, shards) <= most:\n",
            "        if True:\n",
            "what is advised would not fit",
        ),
    ],
    "pipelines/index/opening.py": [
        wrong(
            "one.manifest, one.offsets, hidden, one.origins",
            "one.manifest, one.offsets, one.hidden, one.origins",
            "what is hidden since last night is in the sample's answers",
        ),
        worse("if held + memory_of(shard.manifest) <=", "if held <=", "a night takes memory for two indexes"),
        worse("(_kept.get() or {}).clear()", "pass", "an index shard is built beside those that grew"),
        wrong(
            "_keep(root, ref, open_index_shard(local, manifest, hidden))",
            "_keep(root, ref, open_index_shard(local, None, hidden))",
            "an index shard of another generation may be opened",
        ),
        worse(
            "    files.delete([local])  # the copy",
            "    # the copy",
            "a damaged copy in the cache is never mended",
        ),
        wrong(
            "        if (found := sha256_file(path)) != expected:",
            "        if (found := expected) != expected:",
            "damaged vectors are evaluated",
        ),
    ],
    "pipelines/index/post_processing.py": [
        wrong(
            "    if fingerprint(manifest) != generation.encoder:",
            "    if False:",
            "steps of another encoder are taken around the search",
        ),
        wrong(
            "wide, with_vectors = max(wide, reranking.short_list + 1), True\n",
            "with_vectors = True\n",
            "only k items are re-ranked",
        ),
        wrong("return Answers(near[:, :k], ", "return Answers(near, ", "more than k matches are given"),
        wrong(
            "own[found.held] = pc.equal(",
            "own[:0] = pc.equal(",
            "a query's own item is re-ranked with the others",
        ),
        wrong(
            "passes.append(Pass(expansion.k, skips_own=True, with_vectors=True))",
            "passes.append(Pass(expansion.k, skips_own=False, with_vectors=True))",
            "a query is expanded with itself",
        ),
        wrong(
            "            excluded=excluded,\n            skip=ids if one",
            "            skip=ids if one",
            "what was taken down is shown, and draws queries towards it",
        ),
        wrong(
            "columns=columns if number == len(self.passes) - 1 else None",
            "columns=columns",
            "in stages a query is drawn only to what its own filter lets pass",
            STEPS,
        ),
        wrong(
            "            exact=self.exact,\n",
            "            exact=False,\n",
            "exact search is not exact",
            STEPS,
        ),
        wrong(
            "found, np.take_along_axis(found.near, order, axis=1), ",
            "found, found.near, ",
            "matches that diversity chooses have the scores of others",
            STEPS,
        ),
        wrong(
            "last = self.passes[-1].k - self.conditions.per_group",
            "last = self.pool",
            "only k items are re-ranked where the query's own group is left out",
            STEPS,
        ),
        wrong(
            'return _reranked(checked(queries, "cosine"), ids',
            "return _reranked(queries, ids",
            "the length of a query decides how it is re-ranked",
            STEPS,
        ),
        wrong(
            'return _drawn(checked(queries, "cosine"), answers',
            "return _drawn(queries, answers",
            "the length of a query decides how it is expanded",
            STEPS,
        ),
        wrong(
            "if self.conditions.diversify is None:",
            "if not self.conditions.diversify:",
            "a diversity of 0 gives five times k matches in no order of diversity",
            STEPS,
        ),
        wrong(
            "self.exclude_self and self.item_group is not None",
            "self.item_group is not None",
            "the query's own group is left out though nobody asks for it",
            STEPS,
        ),
        worse(
            ".model_copy(update=of_index)", "", "a run tells of the encoder's augmentation, not the index's"
        ),
        wrong(
            "step.k, exact=exact, excluded=excluded, skip",
            "step.k, exact=exact, skip",
            "what is taken down draws items to it",
        ),
        worse(
            '    if generation.metric != "cosine":',
            "    if False:",
            "distances are re-ranked as if they were cosines",
        ),
    ],
    "pipelines/index/answers.py": [
        wrong(
            "vectors[here] = part.vectors[row[here]]",
            "vectors[here] = part.vectors[: here.sum()]",
            "of several shards, items get each other's vectors",
        ),
    ],
    "pipelines/index/pieces.py": [
        loses(
            "if there and all(there):",
            "if any(there):",
            "of a piece that was interrupted half the answers are missing",
        ),
        wrong(
            "yield merged([next(known), found], one.k, one.conditions.grouping) if known else found",
            "yield found",
            "only the shards that were open last are asked",
        ),
        wrong(
            "            best = merged([best, next(other)], k, grouping)\n",
            "            next(other)\n",
            "only the first worker's shards are asked",
        ),
        wrong(
            "excluded = read_ids(self.excluded) if self.excluded else ()",
            "excluded = ()",
            "what was taken down is shown by workers",
        ),
        wrong(
            "groups = fitting(self.store, piece.refs, self.memory, exact=self.asked.exact)",
            "groups = fitting(self.store, piece.refs, self.memory)",
            "an exact search takes more memory than it may",
        ),
        worse(
            "return that_fit(refs, sizes, limit or memory() // 2)",
            "return that_fit(refs, sizes, memory() // 2)",
            "query.memory is not used",
        ),
    ],
    "pipelines/query/answering.py": [
        worse(
            '    files.delete([results, failures, note_path(results.rpartition("/")[0])])\n',
            "",
            "tables of before lie beside an error",
            "tests/pipelines/query/test_job.py",
        ),
        loses(
            "        tables.enter_context(_neither_alone(failures))\n",
            "",
            "failures are left without their results",
            "tests/pipelines/query/test_job.py",
        ),
        wrong(
            "known = group if group in self.generation.metadata else None",
            "known = group",
            "a field that is not served ends queries by ids",
        ),
        wrong(
            "known = group if group in self.generation.metadata else None",
            "known = None",
            "groups cannot be asked for",
        ),
    ],
    "pipelines/query/combining.py": [
        wrong(
            "limit = -np.inf if is_filtered(self.asked, block.columns) else self.limit",
            "limit = self.limit",
            "what a filter leaves is told as far in stages",
            "tests/pipelines/query/test_job.py",
        ),
        wrong(
            "kept = ~np.isin(block.numbers, repeated)",
            "kept = np.ones(len(block.numbers), bool)",
            "a query id that comes again gives its matches twice",
        ),
        wrong(
            "drawn = self.asked.next_queries(block.vectors, next(answers))",
            "drawn = block.vectors",
            "in stages queries are not expanded",
        ),
        wrong("answered - unmatched", "answered", "queries without a match are counted as answered"),
        wrong(
            "for one in without_matches(block, found) if one.number not in repeated)",
            "for one in without_matches(block, found))",
            "a repeated query without a match fails twice",
        ),
    ],
    "pipelines/query/parts.py": [
        loses(
            'FAILED = ("failures", "repeated", "unmatched")',
            'FAILED = ("failures", "unmatched")',
            "a query that comes again is in neither table",
        ),
        loses(
            'FAILED = ("failures", "repeated", "unmatched")',
            'FAILED = ("failures", "repeated")',
            "a query that nothing matches is in neither table",
        ),
        wrong(
            "GROUP BY query_id HAVING count(*) > 1",
            "GROUP BY query_id, place.part HAVING count(*) > 1",
            "a query id that comes again in a later part gives its matches twice",
        ),
        wrong(
            "ids.write_batch(told.filter(pa.array(block.is_first)))",
            "ids.write_batch(told)",
            "a query of several pictures is its own duplicate",
        ),
    ],
    "pipelines/index/members.py": [
        wrong(
            "found = found.only((found.is_item | ~as_items[found.place]) & ~taken_down[found.place])",
            "found = found.only(~taken_down[found.place])",
            "an id that is of an item and of a group asks with both",
        ),
        wrong("code[gone] = -1", "pass", "a group asks with a picture that was taken down"),
        wrong(
            "order = np.lexsort((pc.rank(found.item_ids).to_numpy(zero_copy_only=False), found.place))",
            'order = np.argsort(found.place, kind="stable")',
            "the mean of a group depends on how its pictures are spread",
        ),
        worse(
            "counts = np.minimum(ends - begins, MOST_PICTURES + 1)",
            "counts = np.minimum(ends - begins, MOST_PICTURES)",
            "a group of too many pictures is asked with some of them",
        ),
    ],
    "pipelines/index/own_groups.py": [
        wrong(
            "kept = ~(is_own | of_own.to_numpy(zero_copy_only=False))",
            "kept = ~is_own",
            "an item is its own match by another picture",
        ),
        wrong("kept &= place < k", "pass", "more than k matches"),
    ],
    "pipelines/query/reading.py": [
        wrong(
            'is_item = block.columns["is_item"].combine_chunks()',
            "is_item = pa.array([False] * len(block.ids))",
            "an id that is of an item and of a group asks with both",
        ),
        wrong(
            "                        add(self.check(block))",
            "                        add(block)",
            "in stages filters of queries by ids are not checked",
        ),
        wrong("        before += sum(rows)\n", "", "vectors of several files have the same numbers as ids"),
    ],
    "pipelines/query/job.py": [
        wrong(
            "if far and not is_filtered(asked, block.columns):",
            "if far:",
            "what a filter leaves is told as far",
        ),
        worse(
            "if options.exact or served.in_words\n",
            "if served.in_words\n",
            "exact search says that queries are far",
        ),
        loses(
            "    refuse_own_output(path, results, failures, note_path(out))\n",
            "",
            "queries that lie where their table goes are deleted",
        ),
        loses(
            "failures := sorted([*block.failures, *bare])",
            "failures := block.failures",
            "a query that nothing matches is in neither table",
        ),
        wrong(
            "        exclusions.excluded_ids(config.store),",
            "        exclusions.excluded_ids(config.store)[:0],",
            "what was taken down is shown",
        ),
        wrong(
            "Asked(k, steps, options.exclude_self, options.exact, conditions, config.corpus.group)",
            "Asked(k, steps, False, options.exact, conditions, config.corpus.group)",
            "a query finds itself",
        ),
        loses(
            "        generations.reading(config.store) as generation,",
            "        contextlib.nullcontext(generations.read_current(config.store)) as generation,",
            "a generation is pruned while a query reads it",
        ),
        loses(
            '        with done.timed("write"):\n            if written:\n                written.result()',
            '        with done.timed("write"):\n            if written:\n                pass',
            "a table lacks the last rows, which could not be written",
        ),
        worse(
            "            coming = background.submit(next, blocks, None)\n            yield block\n",
            "            yield block\n            coming = background.submit(next, blocks, None)\n",
            "nothing is read while a block is searched for",
        ),
    ],
    "pipelines/nightly/run.py": [
        loses(
            "index(config, embedded.plan, flags, still_mine, asked)",
            "index(config, embedded.plan, flags, asked=asked)",
            "a night publishes though it lost the store",
        ),
        loses(
            "prune(config.store, keep.generations, keep.days)",
            "prune(config.store, keep.generations)",
            "young generations are deleted against retention.days",
        ),
        worse(
            "if indexed.published or may_be_due(config.store, keep.generations):",
            "if indexed.published:",
            "what a killed night did not prune is never pruned",
        ),
        worse(
            "recalls = [ref.recall for ref in generation.indexes if ref.recall is not None]\n    report.recall = min(",
            "recalls = [ref.recall for ref in generation.indexes if ref.recall is not None]\n    report.recall = max(",
            "the report tells the best recall",
        ),
    ],
    "pipelines/config/job.py": [
        wrong("            item_id=self.item_id,\n", "", "corpus.item_id is not looked at"),
        wrong("            id_field=self.id_field,\n", "", "corpus.id_field is not looked at"),
        worse(
            'False, description="publish although',
            'True, description="publish although',
            "damaged shards are published unless one forbids it",
        ),
        worse(
            '0.05, description="of the records read"',
            '0.5, description="of the records read"',
            "half of the records may be rejected",
        ),
        worse(
            "if taken := [name for name in metadata if name in OUR_COLUMNS or not name]:",
            "if taken := [name for name in metadata if not name]:",
            "a field of metadata hides a column of ours",
        ),
        wrong(
            '0.2, description="of the items of the last generation"',
            '0.9, description="of the items of the last generation"',
            "the default of max_shrink_fraction is another",
        ),
    ],
    "pipelines/query/probability.py": [
        wrong(
            "kept[held] = self.calibration.apply(answers.near[held]) >=",
            "kept[held] = self.calibration.apply(np.abs(answers.near[held])) >=",
            "under euclidean what is far is probable",
        ),
        wrong(
            '        first = np.argsort(~kept, axis=1, kind="stable")\n',
            "        first = np.tile(np.arange(kept.shape[1]), (len(kept), 1))\n",
            "of re-ranked matches the first is missing, and the second has rank 2",
        ),
        wrong(
            ">= np.float32(self.least)\n",
            "> np.float32(self.least)\n",
            "a match of just the least probability is left out",
        ),
    ],
    "pipelines/evaluate/calibration.py": [
        wrong(
            "self.query.append(of_query[held] + self.queries)",
            "self.query.append(of_query[held])",
            "queries of two blocks are taken for one, and a query is fitted with its own pairs",
        ),
    ],
    "pipelines/export/job.py": [
        wrong(
            "            left_out = 0\n", "", "what is taken down is counted once for each part that is read"
        ),
        worse("    if strangers:\n", "    if False:\n", "a folder with somebody's photographs is replaced"),
    ],
    "pipelines/index/passing.py": [
        wrong(
            "list(map(repr, columns[name].to_pylist()))",
            "list(map(str, columns[name].to_pylist()))",
            "a query without a value gets the answers of one whose value is the text None",
        ),
        wrong(
            "named = sorted({name for read in filters.values() for name in read.of_query})",
            "named = sorted({name for read in filters.values() for name in read.of_query[:1]})",
            "of two columns of a query one decides",
        ),
        worse(
            "passes &= np.unpackbits(bits,",
            "passes &= np.unpackbits(kept[one],",
            "a thread forgets what another looks at",
        ),
        worse(
            "passes = np.ones(len(shard.items), bool) if asked else None",
            "passes = np.ones(len(shard.items), bool)",
            "a query without a filter is searched for as if it had one",
        ),
    ],
    "pipelines/index/conditions.py": [
        wrong(
            "return np.float32(-np.inf if self.max_distance is None else -self.max_distance)",
            "return np.float32(-np.inf if self.max_distance is None else self.max_distance)",
            "a greatest distance lets nothing pass",
        ),
        wrong(
            "return cls(**{one.name: getattr(settings, one.name) for one in fields(cls)} | given)",
            "return cls(**given)",
            "conditions of the job file are forgotten where the command has some",
        ),
        wrong(
            "return k if self.diversify is None else _POOL * k",
            "return k",
            "diversity has nothing to choose among",
        ),
        worse(
            "QUERY not in self.where.lower()",
            'f"{QUERY}." not in self.where.lower()',
            "a filter that writes its query in quotes is refused",
        ),
        worse("not 0 <= self.diversify <= 1", "not self.diversify <= 1", "a negative diversity is taken"),
        worse("not np.isfinite(value)", "np.isnan(value)", "an infinite threshold is taken"),
        wrong(
            'if self.min_score is not None and metric != "cosine":',
            'if self.min_score and metric != "cosine":',
            "a least score of 0 is forgotten where distances count",
        ),
        wrong(
            'if self.max_distance is not None and metric == "cosine":',
            'if self.max_distance and metric == "cosine":',
            "a greatest distance of 0 is forgotten where scores count",
        ),
    ],
}
