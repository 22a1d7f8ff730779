"""Why a query and a match have the score that they have, drawn over both pictures.

Others use `job.explain`, and `drawing.drawn` for the picture alone. May import evaluate and what stands below it.
"""
