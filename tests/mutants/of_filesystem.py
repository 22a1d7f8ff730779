"""Changes to reading, writing and caching files."""

from .change import Change, loses, worse, wrong

CHANGES: dict[str, list[Change]] = {
    "pipelines/filesystem/text.py": [
        loses(
            "    return data.removeprefix(codecs.BOM_UTF8)\n",
            "    return data\n",
            "the first name in a file from Windows is another one",
        ),
        loses(
            "        file.seek(len(head) if head == codecs.BOM_UTF8 else 0)\n",
            "        file.seek(0)\n",
            "the first id of a file from Windows is not taken down",
        ),
        loses(
            'yield line.rstrip(b"\\r\\n")',
            'yield line.rstrip(b"\\n")',
            "ids from a file of Windows end in a carriage return and are unknown",
        ),
    ],
    "pipelines/filesystem/local.py": [
        loses(
            "                with naming(temporary):\n                    os.fsync(file.fileno())\n",
            "                pass\n",
            "a file that was written may be half as long after a power cut",
        ),
        loses(
            "        os.replace(temporary, path)\n        if lasting:\n            sync(folder)\n",
            "        os.replace(temporary, path)\n",
            "a file that was written may be gone after a power cut",
        ),
        loses(
            "    sync(temporary)\n    os.chmod(temporary, 0o644)\n",
            "    os.chmod(temporary, 0o644)\n",
            "an embedding file may be half as long after a power cut",
        ),
        loses(
            '    sync(os.path.dirname(path) or ".")\n',
            "",
            "an embedding file may be gone after a power cut, though its note is there",
        ),
        loses(
            "    sync(os.path.dirname(folder))\n",
            "",
            "an index shard may be gone after a power cut, though a generation names it",
        ),
        loses("    sync(parent)\n", "", "a new folder with all in it may be gone after a power cut"),
        worse("os.chmod(temporary, 0o644)", "pass", "nobody but the writer can read an embedding file"),
        worse("os.chmod(temporary, 0o755)", "pass", "nobody but the writer can open an index shard"),
        worse(
            "secrets.token_hex(8)",
            "os.getpid()",
            "two containers write to one temporary file",
        ),
    ],
    "pipelines/filesystem/urls.py": [
        worse(
            '_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)',
            '_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://")',
            "GS:// is taken for a local folder",
        ),
    ],
    "pipelines/filesystem/braces.py": [
        worse(
            'width = len(ends[1]) if ends[1].startswith("0") else 0',
            "width = 0",
            "a brace list loses its leading zeros",
        ),
        worse("step = 1 if last >= first else -1", "step = 1", "a brace list that counts down is empty"),
    ],
    "pipelines/filesystem/patterns.py": [
        worse("and not os.path.exists(path)\n", "\n", "a file whose name has brackets is not found"),
        worse(
            "        if not files:\n            raise LookalikeError(",
            "        if False:\n            raise LookalikeError(",
            "a part of a pattern that matches nothing is left out in silence",
        ),
    ],
    "pipelines/filesystem/named_objects.py": [
        worse("in_folder[folder] > FEW or", "False and", "a brace list costs a request a path"),
        worse(
            "        if folder not in self._levels:\n",
            "        if True:\n",
            "a folder is listed for each of the patterns in it",
        ),
        wrong('"*": "[^/]*"', '"*": ".*"', "a pattern names what lies in folders below, too"),
    ],
    "pipelines/filesystem/objects.py": [
        worse(
            "chunk_size=max(PART_BYTES, size // _PARTS)",
            "chunk_size=PART_BYTES",
            "files above 80 GB cannot be sent",
        ),
        worse(
            "                if attempt == _ATTEMPTS:",
            "                if True:",
            "an object that is replaced while it is read ends the run",
        ),
        worse(
            "            except FileNotFoundError:  # Google's and Azure's stop there\n",
            "            except ZeroDivisionError:\n",
            "what is gone already ends a run on Google's or Azure's store",
        ),
        loses(
            "            store.put(key, data, mode=mode)\n",
            "            store.put(key, data)\n",
            "what another wrote meanwhile is overwritten",
        ),
        worse(
            'and not found["path"].startswith(f"{marker[\'path\']}/")',
            "",
            "what tools mean a folder by is taken for a file",
        ),
    ],
    "pipelines/filesystem/object_reader.py": [
        wrong(
            '            options["if_match"] = self._etag\n',
            "            pass\n",
            "what is read is a mixture of two objects",
        ),
        worse(
            "        if at != self._read_to:\n",
            "        if True:\n",
            "a large file is read by a request for each piece",
        ),
        worse(
            "            end = min(at + max(wanted, AHEAD), self.info().size)\n",
            "            end = self.info().size\n",
            "the foot of a table brings all of it",
        ),
        worse(
            "            if self._stream is None:\n                raise\n",
            "            raise\n",
            "a connection that breaks ends the run",
        ),
        wrong(
            "        if not piece and at != self.info().size:\n",
            "        if False:\n",
            "an answer that is cut short is taken for the end of the object",
        ),
    ],
    "pipelines/filesystem/stores.py": [
        worse(
            "    _Process.orphaned = _Process.asked\n",
            "    pass\n",
            "a fork waits for ever for an object store",
        ),
        worse(
            '"read_timeout": timedelta(seconds=seconds)',
            '"read_timeout": timedelta(days=1)',
            "a store that does not answer is waited for all day",
            "tests/pipelines/filesystem/test_store_errors.py",
        ),
    ],
    "pipelines/filesystem/store_errors.py": [
        wrong(
            "        if NO_BUCKET.search(str(error)):\n",
            "        if False:\n",
            "a bucket that does not exist is taken for an empty store",
        ),
    ],
    "pipelines/filesystem/files.py": [
        wrong(
            "key=lambda name: (name == last, name)):",
            "key=lambda name: name):",
            "a remote folder counts as finished before all of it is there",
        ),
        wrong(
            "return (file for file in found if not is_temporary(file.path))",
            "return iter(found)",
            "unfinished files are taken for whole ones",
        ),
        wrong(
            "                    while waiting:\n                        yield waiting.popleft().result()\n",
            "",
            "a note is taken for that of another shard",
        ),
        wrong(
            '    if found != expected:\n        raise LookalikeError(f"The file is damaged',
            '    if False:\n        raise LookalikeError(f"The file is damaged',
            "no file is compared with its digest",
        ),
    ],
    "pipelines/filesystem/cache.py": [
        loses(
            "if set(os.listdir(folder)) != {_COPY, _STATE}:",
            "if not {_COPY, _STATE} <= set(os.listdir(folder)):",
            "an old folder of the user's in LOOKALIKE_CACHE may be deleted",
        ),
        loses(
            "if not unfinished and not _is_entry(entry.path):",
            "if False:",
            "any old folder in LOOKALIKE_CACHE is deleted",
        ),
        wrong(
            "return bool(json.load(file) == _state(entry))",
            "return bool(json.load(file))",
            "a changed or incomplete copy is taken for whole",
        ),
        wrong(
            "    _refuse_others(cache)\n",
            "",
            "another user's files are searched, in a cache that others may write",
        ),
        worse(
            "    os.utime(os.path.join(entry, _STATE))\n",
            "",
            "a copy that is asked for every day is deleted after a week",
        ),
        worse(
            "time.time() - UNUSED_DAYS * 86400", "time.time() - UNUSED_DAYS * 3600", "copies live for hours"
        ),
    ],
}
