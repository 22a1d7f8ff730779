"""Embedding files to index shards, which are asked and merged on exact scores.

`job` plans, checks in workers (`checks`, `ids`, `duplicates`), builds there (`inputs`, `build`, `shard`, `searcher`,
`tuning`), asks the `gates`, measures `drift` and publishes. Others use `job.index`, `opening.open_index`,
`search.search` and `post_processing.search_in_steps`.
May import embedding, store, config, sources, runner, filesystem and model.
"""
