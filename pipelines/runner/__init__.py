"""Beam pipelines run so that they stay on this machine unless told otherwise; progress and tables for people.

Others use `workers.in_workers`, `work_list.write_work_list`, `progress.shown`, `progress.worker_note` and
`tables.make_table`. May import filesystem and model.
"""
