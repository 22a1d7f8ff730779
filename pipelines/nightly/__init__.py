"""One night: embed, index, publish, prune, report.

Others use `run.nightly`, `dry_run.dry_run` and the report in `report`. May import index, embedding and what stands
below them.
"""
