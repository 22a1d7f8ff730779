"""How good retrieval is: every query ranked against the whole corpus, measured, compared, drawn.

Others use `job.evaluate` and the text in `report`. May import query, index and what stands below them.
"""
