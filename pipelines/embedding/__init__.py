"""Image shards to embedding files.

A record's way, from top to bottom: `plan` tells which shards are missing, `job` gives them to workers, `shard_work`
reads one, has its images encoded and hands vectors and rejects to `writer`. Others use `plan.make_plan`,
`missing.embed_missing` and the summary in `report`. May import store, config, sources, runner, filesystem and model.
"""
