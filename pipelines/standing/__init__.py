"""Standing queries: files of queries that every night answers, and what changed in their answers since the last one.

Others use `job.answer_standing`, `changes.apply_changes` and `report`. May import query and what stands below it.
"""
