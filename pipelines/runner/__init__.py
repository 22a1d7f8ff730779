"""Beam pipelines run so that they stay on this machine unless told otherwise, and their progress shown.

Others use `beam.run_pipeline`, `progress.shown` and `progress.WorkerNote`. May import filesystem and model.
"""
