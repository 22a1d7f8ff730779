"""Numbers that say how good a ranking is, and whether two of them differ: arrays in, arrays out.

Others use `retrieval_metrics` and `significance`. May import only what stands below the rooms of model.
"""
