"""Image shards to embedding files.

A record's way, from top to bottom: `plan` tells which shards are missing, `job` gives them to workers, `contents` lists
what they hold, `find_known` finds what of it the store has (`content_join`, `known`), `shard_work` reads one shard, has
its new images encoded and hands vectors and rejects to `writer`. By `outcomes` workers tell how a shard ended, by
`summary` the driver what that comes to. Others use `plan.make_plan`, `missing.embed_missing`, `gone_files` where they
work with a plan, and the summary in `report`. May import store, config, sources, runner, filesystem and model.
"""
