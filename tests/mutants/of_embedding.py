"""Changes to what makes embedding files of image shards."""

from __future__ import annotations

from .change import Change, loses, worse, wrong

REUSE = "tests/jobs/test_reuse.py"
JOB = "tests/pipelines/embedding/test_job.py"

CHANGES: dict[str, list[Change]] = {
    "pipelines/embedding/plan.py": [
        wrong(
            'sha256_json({**options, "max_pixels": config.corpus.max_pixels})',
            "sha256_json(options)",
            "a shard counts as finished though the limit of pixels changed",
            REUSE,
        ),
        wrong(
            "place is not None and note.options == digest and",
            "place is not None and",
            "a shard counts as finished though it is to be read in another way",
        ),
        wrong(
            "note.token == shards[place].token:",
            "True:",
            "a shard counts as finished though it changed",
        ),
        worse(
            'if (trust or config.corpus.trust) == "metadata":',
            "if True:",
            "corpus.trust: content reads nothing",
        ),
        wrong(
            'del options["images_per_shard"], options["format"]',
            'del options["images_per_shard"], options["format"], options["metadata"]',
            "embedding files without the metadata that is configured are served",
        ),
    ],
    "pipelines/embedding/contents.py": [
        worse(
            "        write_note(task.store, note)\n    return note",
            "    return note",
            "a shard that was touched is read every night",
        ),
        worse(
            "if not outcomes.is_done(shard):",
            "if True:",
            "a bundle that is run again reads its shards again",
        ),
        wrong('"reused": note.embedded + note.reused,', '"reused": note.reused,', "counts do not add up"),
    ],
    "pipelines/embedding/recorded.py": [
        worse(
            "        writer.write_table(table_of(rows, schema))\n        rest",
            "        rest",
            "the last images of a shard are embedded again",
            REUSE,
        ),
        wrong(
            "return all(one == other for one, other in zip_longest(wanted, found))",
            "return True",
            "a shard of which some images are new loses them",
            REUSE,
        ),
        loses(
            '        yield from (Reject(**reject) for reject in self._rest["rejects"])\n',
            "",
            "what was rejected vanishes from a shard of which all else is known",
            REUSE,
        ),
        wrong(
            'damaged: str | None = self._rest["damaged"]',
            "damaged: str | None = None",
            "a shard that is cut short counts as whole when all else is known",
        ),
        wrong(
            "(entry.position, entry.content_hash, entry.item_id, *entry.metadata)",
            "(entry.position, entry.content_hash, entry.item_id, *[None for _ in entry.metadata])",
            "a shard of which all is known loses its metadata",
            REUSE,
        ),
    ],
    "pipelines/embedding/known.py": [
        wrong(
            'or known["content"] != content_hash.encode():',
            "or False:",
            "an image gets the vector of another that lay in its place",
        ),
        worse(
            'while self._next is not None and self._next["position"] < position:',
            "while False:",
            "behind a record that was rejected all images are embedded again",
        ),
    ],
    "pipelines/embedding/find_known.py": [
        worse(
            '        files.delete([files.join(join.folder, "fetched")])\n',
            "",
            "what a damaged file left is fetched for ever",
        ),
        wrong(
            "        damaged |= found\n",
            "        damaged = found\n",
            "of files that were found damaged one after another only the last is left out",
        ),
        wrong(
            "numbers[rows[rows >= 0]] = np.flatnonzero(rows >= 0)",
            "numbers[:] = np.arange(len(table))",
            "vectors of other images from files that were read in an earlier night",
        ),
        wrong("    new = rows < 0\n", "    new = rows < -1\n", "what the last night embedded is not known"),
    ],
    "pipelines/embedding/held_keys.py": [
        worse(
            'rows[np.lexsort([rows["row"], rows["file"], rows["key"]])]',
            'rows[np.lexsort([-rows["row"], -rows["file"], rows["key"]])]',
            "an image gets the vector of an older file",
        ),
        worse(
            "held, waiting = settled(), []", "held, waiting = held, []", "most of what is known is forgotten"
        ),
    ],
    "pipelines/embedding/content_join.py": [
        worse("> _FEW:", "> 0:", "a night that changes little puts the keys of all images in order"),
        wrong(
            'usable &= rows["pixels"].to_numpy() <= self.join.max_pixels',
            "pass",
            "an image above the limit of pixels is served",
            REUSE,
        ),
        wrong(
            "if not is_whole(self.join.store, held.path, held.sha256):",
            "if False:",
            "vectors of a damaged embedding file are served",
        ),
        wrong(
            "        start += len(batch)\n            known = np.zeros",
            "        known = np.zeros",
            "vectors of other images from the second thousand on",
        ),
        wrong(
            "slots[order] = np.arange(len(order))", "slots[:] = order", "vectors lie in the place of others"
        ),
    ],
    "pipelines/embedding/summary.py": [
        loses(
            "_finished(plan, embedded, _served(config.store, plan, unfinished))",
            "_finished(plan, embedded)",
            "a shard that changed during the night vanishes from what is served",
            "tests/pipelines/nightly/test_run.py",
        ),
        wrong(
            "and (note.encoder, note.options) == same",
            "",
            "vectors of another encoder are served",
        ),
        worse(
            "if shard.name not in outcomes.done]:",
            "if False]:",
            "a night whose workers see another store ends in a stack trace",
        ),
        worse("if not known and", "if", "every shard is told to have come late"),
    ],
    "pipelines/embedding/outcomes.py": [
        wrong('counts.update(told["counts"])', "pass", "the counts of a run are zero"),
        wrong(
            'if told["shard"] in done:',
            "if False:",
            "the counts of a piece that was done twice are added up twice",
        ),
        worse(
            "        self._add(shard, files.read_bytes(path))\n        return True",
            "        return True",
            "what was done of a piece before its worker died is not told",
        ),
    ],
    "pipelines/embedding/reading.py": [
        wrong(
            "self._add([record.item_id, content_hash, metadata])",
            "self._add([record.item_id, content_hash])",
            "metadata that changed is not noticed",
            JOB,
        ),
        wrong(
            "self._add([record.item_id, content_hash, metadata])",
            "self._add([content_hash, metadata])",
            "an id that changed is not noticed",
            JOB,
        ),
        wrong(
            "self._add([reject.item_id, reject.position, reject.error])",
            "pass",
            "a record that cannot be read any more is not noticed",
            JOB,
        ),
        wrong(
            "        check_listed(self._shard)\n", "", "a shard that is replaced while it is read is mixed"
        ),
        wrong(
            "        if reject.not_as_listed:\n",
            "        if False:\n",
            "a worker without the mount rejects every image, for ever",
        ),
        wrong("self.damaged = reject.error", "pass", "a shard that is cut short counts as whole"),
        wrong("self._seen.add(record.item_id)", "pass", "an id that is twice in a shard is served twice"),
    ],
    "pipelines/embedding/shard_work.py": [
        wrong(
            "size = encoded.sizes[row.image].tolist()",
            "size = encoded.sizes[0].tolist()",
            "images have the size of others",
            JOB,
        ),
        wrong(
            'self._write_row(row, row.known, "reused")\n                    continue',
            'self._write_row(row, row.known, "embedded")\n                    continue',
            "what was used again is told as embedded",
            REUSE,
        ),
        worse(
            "len(self.images) == BATCH or len(self.rows) == MOST_ROWS",
            "len(self.images) == BATCH",
            "a shard of which all is known is held in memory as a whole",
        ),
    ],
    "pipelines/embedding/writer.py": [
        wrong(
            "            and before.rejected + before.duplicates == len(self._rejects)\n",
            "",
            "rejects of before stay though there are others",
        ),
        wrong(
            "            and before.embedded + before.reused == self._written\n",
            "",
            "a file of before stays though it has other rows",
        ),
        loses(
            "        if self._rows:\n            self._flush()\n        facts",
            "        facts",
            "the last rows are lost",
            JOB,
        ),
        wrong(
            "            and is_whole(self._store, before.path, before.sha256)\n",
            "",
            "a damaged embedding file stays",
        ),
        worse(
            "rejects = sorted(self._rejects,",
            "rejects = list(self._rejects) or sorted([],",
            "rejects differ from run to run",
        ),
    ],
    "pipelines/embedding/job.py": [
        worse(
            "if plan.stored else plan.missing",
            "if False else plan.missing",
            "nothing is looked up by its content",
            REUSE,
        ),
        worse(
            "if self._outcomes.is_done(shard):",
            "if False:",
            "work that is handed out again is done again",
        ),
        loses(
            "self._queue = deque(waiting for waiting in self._queue if waiting[0] is not work)",
            "self._queue.clear()",
            "a shard that is not finished takes others of its bundle with it",
        ),
        worse(
            "    break_seal(config.store, plan.fingerprint)\n",
            "",
            "after a run that was killed the next one does not know what it finished",
        ),
        wrong(
            "    seen = plan.stored if plan.is_listed else ()\n",
            "    seen = plan.stored\n",
            "a note that somebody replaced is told on as it was",
        ),
    ],
    "pipelines/store/note_listing.py": [
        worse(
            "np.isin(notes, embeddings) & np.isin(notes, rejects)",
            "np.isin(notes, rejects)",
            "a shard whose embedding file is gone counts as finished",
        ),
        wrong(
            "    same &= pc.equal(listed.modified.take(pa.array(places)), was).to_numpy()\n",
            "",
            "a note that was written again is read as it was before",
        ),
        wrong(
            "np.lexsort((places, pc.cast(modified, pa.float64()).to_numpy()))",
            "np.arange(len(places))",
            "of two notes the older one counts",
        ),
        worse("if kept.is_sealed and not look:", "if False:", "every plan lists the store"),
        worse(
            "    if sha256 and count == len(listed.places):\n",
            "    if sha256:\n",
            "a note that is not in the file of all notes is not known again",
        ),
        wrong("if kept.is_sealed and not look:", "if kept.is_sealed:", "gates.digests: all does not look"),
        wrong(
            "return len(places) == len(listed.places) == len(kept.places)",
            "return len(places) == len(listed.places)",
            "the file of all notes keeps what was deleted",
        ),
        worse(
            "if note.path != embedding or note.rejects_path not in rejects:",
            "if False:",
            "a note of another file is believed",
        ),
        wrong(
            "if kept.is_sealed and not look:\n"
            "        return FinishedShards(kept.notes.take(_by_age(kept.places, kept.modified)), True, False)",
            "if kept.is_sealed and not look:\n        return FinishedShards(kept.notes, True, False)",
            "of two notes taken at their word the older counts",
        ),
    ],
    "pipelines/store/note_file.py": [
        worse(
            "sha256 is not None and _seal(store, encoder) == _line(sha256),",
            "sha256 is not None,",
            "notes are taken at their word while their files are deleted",
        ),
        worse(
            "    yield\n    for encoder, sha256 in left.items():\n        if sha256:\n"
            "            seal(store, encoder, sha256)\n",
            "    for encoder, sha256 in left.items():\n        if sha256:\n"
            "            seal(store, encoder, sha256)\n    yield\n",
            "a prune that was killed leaves a seal on what it had not deleted yet",
        ),
        worse(
            "stays = ~np.isin(held.places, np.array(places, np.uint64))",
            "stays = np.isin(held.places, np.array(places, np.uint64))",
            "after pruning only what was deleted is known",
        ),
    ],
    "pipelines/embedding/gone_files.py": [
        worse(
            "        gone = [] if plan.is_listed else _gone(store, plan)\n",
            "        gone: list[str] = []\n",
            "a night that misses a file fails night after night",
        ),
        worse(
            "        break_seal(store, plan.fingerprint)\n",
            "",
            "the night that begins again relies on the same files",
            "tests/pipelines/nightly/test_run.py",
        ),
    ],
    "pipelines/store/note_table.py": [
        wrong(
            "rejects_beside(path) if beside else rejects_of(path),",
            "rejects_of(path),",
            "rejects of a store that an earlier version filled are not found",
        ),
        wrong(
            "if note.path != path or note.rejects_path not in (rejects_of(path), rejects_beside(path)):",
            "if False:",
            "a note of another path is told with the wrong one",
        ),
        wrong("if note.seconds != _seconds(seconds) or not all(", "if not all(", "times are cut"),
        worse(
            "page_checksum_verification=True, pre_buffer=False",
            "page_checksum_verification=False, pre_buffer=False",
            "a damaged table of notes is believed",
        ),
        worse("if error.errno is not None:", "if False:", "a disk that fails counts as a damaged table"),
        wrong(
            "NoteTable(self._table, places if self._rows is None else self._rows[places])",
            "NoteTable(self._table, places)",
            "notes of other shards are taken",
        ),
    ],
    "pipelines/store/notes.py": [
        worse('.strip("-.")[:80]', '.strip("-.")', "a shard with a long name cannot be written"),
        wrong(
            "for note in notes:\n        total.update({name: getattr(note, name) for name in COUNTS})",
            "for note in notes:\n        total.update({name: getattr(note, name) for name in COUNTS[:2]})",
            "counts do not add up",
        ),
        wrong(
            "key = sha256_json([shard, digest, encoder, options])[:16]",
            "key = sha256_json([shard, digest, encoder])[:16]",
            "embedding files of other options have one name",
        ),
        wrong(
            "key = sha256_json([shard, digest, encoder, options])[:16]",
            "key = sha256_json([digest, encoder, options])[:16]",
            "two shards of one content and base name share a file",
        ),
    ],
}
