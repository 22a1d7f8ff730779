"""Changes to how work reaches workers."""

from .change import Change, loses, worse, wrong

CHANGES: dict[str, list[Change]] = {
    "pipelines/runner/work_list.py": [
        loses(
            "size = (piece + 1) * count // pieces - piece * count // pieces",
            "size = count // pieces",
            "what is left over when work is cut into pieces is not done",
        ),
    ],
    "pipelines/runner/environment.py": [
        wrong(
            "differ = [name for name in expected if here.get(name) != expected[name]]",
            "differ = [name for name in expected if name not in here]",
            "vectors of two versions of a library are mixed",
        ),
        wrong(
            "digest.update(hashlib.sha256(file.read()).digest())",
            "pass",
            "workers with other code go unnoticed",
        ),
    ],
    "pipelines/runner/beam.py": [
        worse("return 1 if in_process else MOST_FILES", "return MOST_FILES", "cores wait between shards"),
        loses(
            "beam.Create(range(work.pieces))",
            "beam.Create(range(1))",
            "only the first piece of the work is done",
        ),
    ],
    "pipelines/runner/worker_processes.py": [
        worse(
            "process.kill()",
            "pass",
            "worker processes outlive the run that they work for",
        ),
    ],
    "pipelines/runner/time_left.py": [
        worse(
            "if new <= 0 or elapsed < ENOUGH_SECONDS or not enough:",
            "if new <= 0:",
            "the first second of a run of two minutes tells hours",
        ),
    ],
    "pipelines/runner/progress.py": [
        worse(
            "if self._written and not files.exists(self._path):",
            "if False:",
            "progress counts what an earlier step did",
        ),
    ],
    "pipelines/filesystem/paths.py": [
        wrong(
            'return local if local.startswith("/") else os.path.join(os.getcwd(), local)',
            "return local",
            "workers in other folders do not find relative paths",
            "tests/pipelines/sources/test_base.py",
        ),
    ],
}
