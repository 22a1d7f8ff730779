"""Changes to what a job file, a command line and a program say of a job."""

from __future__ import annotations

from .change import Change, worse, wrong

CHANGES: dict[str, list[Change]] = {
    "pipelines/api/jobs.py": [
        wrong(
            "exclude_self=self.config.query.exclude_self if exclude_self is None else exclude_self",
            "exclude_self=exclude_self or False",
            "query.exclude_self of the job is not used",
            "tests/pipelines/cli/test_jobs.py",
        ),
        wrong("combine=combine,", "combine=None,", "combine is not used", "tests/pipelines/cli/test_jobs.py"),
        wrong(
            "keep=keep or settings.keep", "keep=keep or 'largest'", "duplicates.keep of the job is not used"
        ),
        wrong(
            "return export(self.config, plain(out), format, generation)",
            "return export(self.config, plain(out), format)",
            "another generation is exported",
        ),
        wrong("pairs=settings.pairs,", "", "duplicates.pairs of the job is not used"),
        wrong('trust="metadata"', "trust=self.config.corpus.trust", "an index reads every shard again"),
        wrong(
            "index(self.config, plan, flags, still_mine, asked)",
            "index(self.config, plan, flags, still_mine)",
            "an index that a program asks for is tuned without the user's queries",
        ),
    ],
    "pipelines/config/job_file.py": [
        wrong(
            "    if isinstance(given, kind) and not keys:",
            "    if isinstance(given, kind):",
            "keys that a program sets are not used",
        ),
        wrong(
            'data = given.model_dump(mode="json", exclude_unset=True)',
            'data = given.model_dump(mode="json")',
            "what was not set counts as set",
        ),
    ],
    "pipelines/cli/jobs.py": [
        wrong(
            "exact=job.query.exact if exact is None else exact,",
            "exact=bool(exact),",
            "query.exact of the job is not used",
        ),
        wrong("        k or job.query.k,\n", "        k or 10,\n", "query.k of the job is not used"),
        worse(
            "    if not summary.searched:\n        raise typer.Exit(IN_PART)",
            "    pass",
            "a job of which no query could be asked ends with 0",
        ),
        worse(
            "    if summary.unfinished or any(note.damaged for note in summary.plan.notes):",
            "    if summary.unfinished:",
            "a damaged shard ends with 0",
        ),
        worse("    exit_if_unanswered(summary.standing)\n", "", "a standing query that failed ends with 0"),
        wrong(
            "    conditions = Conditions.of(job.query, given)\n    options",
            "    conditions = Conditions.of(job.query)\n    options",
            "conditions of the command line are not used",
        ),
        wrong("        min_probability=min_probability,\n", "", "--min-probability is not used"),
        wrong("        combine=combine,\n", "", "--combine is not used"),
    ],
    "pipelines/cli/groups.py": [
        worse(
            '= printable(vars(error)["message"])',
            '= vars(error)["message"]',
            "of arguments that are refused, secrets are told and what acts does so",
        ),
    ],
}
