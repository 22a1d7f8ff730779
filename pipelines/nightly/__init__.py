"""One night: embed, index, publish, answer standing queries, prune, report.

Others use `run.nightly`, `dry_run.dry_run` and the report in `report`. May import standing, index, embedding and
what stands below them.
"""
