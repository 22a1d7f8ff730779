"""Changes to generations, locks, exclusions and pruning."""

from .change import Change, loses, worse, wrong

CHANGES: dict[str, list[Change]] = {
    "pipelines/store/own_names.py": [
        loses(
            "return bool(_ANSWERS.fullmatch(name))",
            "return bool(_ANSWERS.match(name))",
            "folders that are called like answers but for their ends are deleted",
        ),
        loses(
            "return bool(_KEPT.fullmatch(path))",
            "return bool(_KEPT.match(path))",
            "files that are called like kept rows but for their ends are deleted",
        ),
        loses(
            "return bool(_GENERATION.fullmatch(name))",
            "return bool(_GENERATION.match(name))",
            "prune deletes what is called like a generation but for its end",
        ),
        loses(
            "return bool(_ARTIFACT.fullmatch(path))",
            "return bool(_ARTIFACT.match(path))",
            "prune deletes what is called like embeddings but for its end",
        ),
        loses(
            "sorted(filter(_RUN.fullmatch, held))", "sorted(held)", "what others have in `runs` is deleted"
        ),
    ],
    "pipelines/store/kept.py": [
        loses(
            "if _is_ours(p) and not p.rpartition",
            "if not p.rpartition",
            "what others have beside kept rows is deleted",
            "tests/pipelines/store/test_own_names.py",
        ),
        wrong(
            'f"{n.path}\\0{n.sha256}"',
            'f"{n.path}"',
            "an embedding file that was made again is taken for the one before",
        ),
        wrong(
            '        if told.get(b"format") != _FORMAT:\n',
            "        if False:\n",
            "rows that another version split are compared with ours",
        ),
        wrong("    files.delete_files(gone)\n", "", "rows of a dead run are never deleted"),
        loses(
            "        files.sync(folder)  # or",
            "        pass  # or",
            "rows that were replaced are back after a power cut",
        ),
        worse(
            "if kind >= 0 for name in self.fields[kind]",
            "for name in self.fields[kind]",
            "a field counts as there that is not known",
        ),
    ],
    "pipelines/store/kept_parts.py": [
        wrong("            wanted &= part_of", "            part_of", "an id is compared in several parts"),
        wrong(
            "range(part % step, self.parts, step)",
            "range(part % step, step)",
            "of a corpus that shrank most ids are not compared",
        ),
        wrong(
            "hashlib.sha256(data[:-_SEAL]).digest() != data[-_SEAL:]",
            "False",
            "damaged rows are taken for true",
        ),
    ],
    "pipelines/store/splits.py": [
        wrong(
            "map(crc32, ids.cast(pa.binary()).to_pylist())",
            "map(hash, ids.to_pylist())",
            "workers put one id into different parts",
        ),
        wrong(
            "batch[side].to_numpy().astype(np.int64) for side",
            "batch[side].to_numpy() for side",
            "an image of 65536 x 65536 pixels is taken for a small one",
        ),
        wrong(
            ".bit_length()", " + 1", "parts of a corpus that grew are not made of those of the time before"
        ),
    ],
    "pipelines/store/encoders.py": [
        loses(
            '    check_files(Path(bundle), manifest, manifest["variant"])\n',
            "    return folder\n",
            "workers look for an encoder that is not there",
        ),
        wrong(
            "if encoder.fingerprint != expected:",
            "if False:",
            "vectors of an encoder that was swapped meanwhile are mixed in",
        ),
    ],
    "pipelines/store/prune.py": [
        worse(
            "embedding, rejects_of(embedding), rejects_beside(embedding)]",
            "embedding, rejects_of(embedding)]",
            "rejects of an old store stay",
        ),
        loses(
            "may_be_read = any(grave.artifacts is None and not grave.due for grave in graves)",
            "may_be_read = False",
            "with a damaged tombstone files are deleted that a query reads",
        ),
        worse(
            "if key not in (TOMBSTONE, SHARDS))",
            "if key not in (TOMBSTONE,))",
            "a prune that is killed here takes its tombstone for damaged",
        ),
        worse(
            "        with without(root, gone):\n            _delete",
            "        if True:\n            _delete",
            "the file of all notes names what was pruned",
        ),
        loses(
            "        wanted |= _keys(named_artifacts(root, generation))\n",
            "",
            "prune deletes what kept generations are made of",
        ),
        loses(
            "if is_artifact(path) and _key(path) not in wanted:\n                found",
            "if _key(path) not in wanted:\n                found",
            "files of others in the folder of index shards are deleted",
        ),
        loses("            wanted |= named\n", "", "prune deletes what a generation in use is made of"),
        loses(
            "keep = {*names[-keep_count:], current_name(root)}",
            "keep = {*names[-keep_count:]}",
            "prune deletes the generation that is served after a rollback",
        ),
        loses(
            "            _sync([manifest])\n",
            "",
            "a generation may be listed after a power cut though what it is made of is deleted",
        ),
        loses(
            "max(keep_days or 0.0, 1.0) * _DAY)",
            "(keep_days or 0.0) * _DAY)",
            "prune deletes the work of a run that is still to be published",
        ),
        loses(
            "return min(newest, now - ",
            "return max(newest, now - ",
            "prune deletes embeddings that are younger than the newest generation",
        ),
        loses(
            "    return all(0 < _modified(file) < cutoff for file in found)",
            "    return all(_modified(file) < cutoff for file in found)",
            "prune deletes what has no known age",
        ),
        loses(
            "held.enter_context(flocked(manifest, fcntl.LOCK_EX | fcntl.LOCK_NB, os.O_RDWR))",
            "pass",
            "prune deletes a generation that a query reads",
        ),
        loses(
            "    wanted = wanted.union(*(grave.artifacts or () for grave in graves if not grave.due))\n",
            "",
            "prune deletes at once what a remote reader may still need",
        ),
        loses("< now - GRACE_SECONDS", "< now", "a remote generation is deleted under its readers"),
        loses(
            "if now - _published(name) < keep_days * _DAY)",
            "if now - _published(name) > keep_days * _DAY)",
            "prune keeps the old and deletes the young",
        ),
        worse(
            "if TOMBSTONE in held and MANIFEST not in held:",
            "if False:",
            "what an interrupted prune left is never deleted",
        ),
        worse("keep_count < 1", "keep_count < 0", "prune may be told to keep nothing"),
        loses(
            "    _sync([*embeddings, *folders])\n",
            "",
            "a tombstone may be gone after a power cut and what it names still there, for ever",
        ),
    ],
    "pipelines/store/lock.py": [
        worse(
            "        with Lease(path, this_process(what)).kept(patient=True):",
            "        with Lease(path, this_process(what)).kept():",
            "of two takedowns at once in a bucket one is refused",
        ),
        loses(
            "        if not is_same_file(descriptor, path):\n            raise FileNotFoundError",
            "        if False:\n            raise FileNotFoundError",
            "two hold the lock if its file is replaced while one waits",
        ),
        loses(
            "            if not is_same_file(descriptor, path):\n                raise LookalikeError",
            "            if False:\n                raise LookalikeError",
            "a run publishes though its lock was deleted",
        ),
        loses(
            "flocked(path, fcntl.LOCK_EX | fcntl.LOCK_NB))",
            "flocked(path, fcntl.LOCK_SH | fcntl.LOCK_NB))",
            "two runs write to one store",
        ),
        loses(
            "os.register_at_fork(after_in_child=_let_go)\n",
            "",
            "a worker that outlives its run keeps the store locked",
        ),
        worse(
            "            os.ftruncate(descriptor, len(data))\n\n".replace("            ", "        ", 1),
            "\n",
            "the name of the holder may end in that of an earlier one",
        ),
        loses(
            "    with flocked(path, fcntl.LOCK_EX):\n        yield\n",
            "    yield\n",
            "of two changes to the exclusions one is lost",
        ),
        wrong(
            "if os.getpid() == holder.pid:\n                os.ftruncate(descriptor, 0)",
            "if True:\n                os.ftruncate(descriptor, 0)",
            "a fork empties the lock file",
        ),
    ],
    "pipelines/store/lease.py": [
        loses(
            "                if self._create():\n                    return\n",
            "                self._create()\n                return\n",
            "two have a lease that they took at once",
        ),
        loses(
            "            elif watched >= DEAD_SECONDS:",
            "            elif True:",
            "a living holder loses its lease",
        ),
        loses(
            "            elif seen not in (None, now):",
            "            elif False:",
            "a lease that is renewed is taken over",
        ),
        loses(
            "        if not files.replace_bytes(self._path, self._renewed(), version):",
            "        if files.write_bytes(self._path, self._renewed()):",
            "two take over a dead lease",
        ),
        loses(
            "        return files.replace_bytes(self._path, self._renewed(), now[1])",
            "        return files.write_bytes(self._path, self._renewed()) is None",
            "who lost a lease takes it back by renewing it",
        ),
        loses(
            "        if files.create_bytes(self._path, data):\n            files.delete",
            "        if False:\n            files.delete",
            "two write to a store on a server that takes no notice of conditions",
        ),
        loses(
            "        if now is None or not self._is_mine(now[0]):\n            other =",
            "        if False:\n            other =",
            "a run publishes though another took its lease",
        ),
        loses(
            "        if self.is_ours():\n            files.delete",
            "        if True:\n            files.delete",
            "a run that ends deletes another's lease",
        ),
        worse("watched += LOOK_SECONDS", "watched += DEAD_SECONDS", "a holder is dead after one look"),
        loses(
            "return holder is not None and holder.token == self._holder.token",
            "return holder is not None",
            "any lease is taken for ours",
        ),
        worse(
            "            except Exception as error:  # whatever",
            "            except LookalikeError as error:  # whatever",
            "a lease is lost after one error of the network",
        ),
        worse(
            "return files.replace_bytes(self._path, self._renewed(), now[1]) or self.is_ours()",
            "return files.replace_bytes(self._path, self._renewed(), now[1])",
            "a renewal whose answer was lost ends the lease",
        ),
        wrong(
            "self._holder = replace(holder, token=uuid.uuid4().hex)",
            "self._holder = holder",
            "two processes' leases look alike",
        ),
        worse(
            "            with contextlib.suppress(Exception):  # to",
            "            with contextlib.suppress(KeyError):  # to",
            "a finished run fails as the lock cannot be deleted",
        ),
    ],
    "pipelines/store/leftovers.py": [
        loses(
            'if entry.name.startswith(".") and files.TEMPORARY in entry.name:',
            'if entry.name.startswith(".") or files.TEMPORARY in entry.name:',
            "the user's hidden files in the store are deleted",
        ),
        worse(
            'e.name.startswith(f".{CURRENT}{files.TEMPORARY}")',
            'e.name.startswith(f".{files.TEMPORARY}")',
            "an unfinished CURRENT is left for ever",
        ),
        worse(
            "    read_manifest(config.encoder)  # before",
            "    # before",
            "a store is made for a job that cannot run",
        ),
        loses(
            "yield from unfinished if is_used or folders else [folder]",
            "yield from unfinished if folders else [folder]",
            "every finished folder is deleted when a run starts",
        ),
        wrong(
            '"generations", "reports", "notes", "kept", "standing")',
            '"generations", "reports", "notes", "kept")',
            "unfinished files of standing queries stay",
        ),
    ],
    "pipelines/store/generations.py": [
        wrong("if name == MANIFEST and", "if name == SEAL and", "an unfinished generation is listed"),
        wrong(
            "        return read_generation(root, name, sealed, SEAL)\n",
            "        return read_generation(root, name)\n",
            "a damaged manifest is read as if it were whole",
        ),
        wrong(
            "    files.check_digest(path, data, ref.manifest_sha256)\n",
            "",
            "a damaged manifest of an index shard is read as if it were whole",
        ),
        wrong(
            "    for ref in generation.indexes:\n        _check_whole(root, ref)\n",
            "",
            "rollback serves a generation whose index is not there",
        ),
        loses(
            "held.enter_context(flocked(path, fcntl.LOCK_SH, os.O_RDONLY))",
            "pass",
            "a generation is pruned while it is read",
        ),
        worse(
            "            if name is None and wanted != gone:",
            "            if False:",
            "a query fails if another generation is published and pruned in that moment",
        ),
        wrong(
            "if found.get(name) != size:",
            "if name not in found:",
            "rollback serves an index whose files were cut",
        ),
        worse(
            "min((ref.recall for ref in generation.indexes if ref.recall is not None), default=None)",
            "max((ref.recall for ref in generation.indexes if ref.recall is not None), default=None)",
            "the list of generations tells the best recall",
        ),
        worse(
            "if served_name(root) == name and (generation := read_current(root)).name == name:",
            "if False:",
            "an old manifest that CURRENT's digest refuses is read",
        ),
    ],
    "pipelines/store/generation.py": [
        wrong(
            "if sha256 is not None and found != sha256:",
            "if False:",
            "a damaged manifest is served",
        ),
        loses(
            "if previous is not None and stamp <= previous[: len(stamp)]:",
            "if False:",
            "with a clock that went back, a generation sorts before the older one and is pruned",
        ),
        loses(
            "last + timedelta(seconds=1)",
            "last",
            "two generations may have one time, and so one name",
        ),
        wrong(
            "    return read_generation(store, name, sha256)\n\n",
            "    return read_generation(store, name)\n\n",
            "CURRENT's digest is not looked at",
        ),
        wrong(
            "return self.path, self.hidden.sha256 if self.hidden else None",
            "return self.path, None",
            "an index of other hidden items counts as the same",
        ),
        wrong(
            "return tuple(ref for ref in self.indexes if ref.added_to is None)",
            "return self.indexes",
            "additions count as index shards",
        ),
        wrong(
            '    files.write_bytes(files.join(folder, "manifest.json"), data)\n'
            '    files.write_bytes(files.join(store, CURRENT), f"{generation.name} {sha256}\\n".encode())',
            '    files.write_bytes(files.join(store, CURRENT), f"{generation.name} {sha256}\\n".encode())\n'
            '    files.write_bytes(files.join(folder, "manifest.json"), data)',
            "CURRENT names a manifest that is not there yet",
        ),
        worse(
            '    files.write_bytes(files.join(folder, "manifest.sha256"), f"{sha256}\\n".encode())\n'
            '    files.write_bytes(files.join(folder, "manifest.json"), data)\n',
            '    files.write_bytes(files.join(folder, "manifest.json"), data)\n'
            '    files.write_bytes(files.join(folder, "manifest.sha256"), f"{sha256}\\n".encode())\n',
            "a manifest without a seal is left by a crash",
        ),
    ],
    "pipelines/store/exclusions.py": [
        wrong(
            "page_checksum_verification=True",
            "page_checksum_verification=False",
            "a damaged list shows what was taken down",
        ),
        wrong(
            "        if table.schema != SCHEMA:\n            raise pa.ArrowInvalid",
            "        if False:\n            raise pa.ArrowInvalid",
            "a list of other columns is taken for one of exclusions",
        ),
        loses(
            "            rows |= {item_id: {",
            "            rows = {item_id: {",
            "adding an id brings back all that was taken down before",
        ),
        worse(
            "new = [item_id for item_id in asked if item_id not in rows]",
            "new = [item_id for item_id in asked]",
            "adding an id again changes its date and reason",
        ),
        loses(
            'table.filter(pc.invert(pc.is_in(table["item_id"]',
            'table.filter((pc.is_in(table["item_id"]',
            "lifting one exclusion lifts all others",
        ),
        worse(
            "for item_id in sorted(rows)]",
            "for item_id in rows]",
            "the list is not in the order of its ids",
        ),
        wrong(
            "        if one.excluded\n",
            "        if False\n",
            "an id that was taken down before counts as unknown",
        ),
    ],
    "pipelines/store/verify.py": [
        wrong(
            "(*_CONTENT, *COUNTS)",
            "_CONTENT",
            "where two generations count the rows of a file otherwise, the first is believed",
        ),
        worse(
            "yield from _of_table(path, None, generation.duplicates)",
            "return",
            "lost duplicates are not told",
        ),
        worse(
            "return None if found == sha256 else",
            "return None if found else",
            "verify compares no digest",
        ),
        worse(
            "        if found != rows:", "        if found < rows:", "a table of too many rows is not told"
        ),
        worse(
            "if generation.counts.get(kind) != total:", "if False:", "counts that do not add up are not told"
        ),
        worse(
            "for name in sorted(held - set(manifest.files)",
            "for name in sorted(set()",
            "a file that no manifest names is not told",
        ),
        wrong(
            "refs = {(r.key, r.manifest_sha256, r.count): r for",
            "refs = {r.path: r for",
            "of two generations with one index shard one's hidden rows are not looked at",
        ),
    ],
    "pipelines/store/nearest.py": [
        worse(
            'connection.execute("DELETE FROM asked WHERE id IN (SELECT unnest($done))", {"done": list(found)})',
            "pass",
            "a worse guess replaces a better one",
        ),
    ],
}
