"""Beam pipelines run so that they stay on this machine unless told otherwise; progress and tables for people.

Others use `beam.run_pipeline`, `progress.shown`, `progress.WorkerNote` and `tables.make_table`. May import filesystem
and model.
"""
