"""Embedding files to index shards, which are asked and merged on exact scores.

`job` plans, builds on Beam (`build`, `shard`, `searcher`, `tuning`), checks (`gates`, `duplicates`, `drift`) and
publishes. Others use `job.index`, `opening.open_index`, `search.search` and `post_processing.search_in_steps`.
May import embedding, store, config, sources, runner, filesystem and model.
"""
