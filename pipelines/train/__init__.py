"""Labelled image shards to a trained network in a run folder.

Others use `job.train`, `config.load_train_config` and `run_folder`. May import store, config, sources, runner,
filesystem and model.
"""
