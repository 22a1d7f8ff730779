"""How good a ranking is, whether two of them differ, how probable it is that a match is right: arrays in, arrays out.

Others use `retrieval_metrics`, `significance` and `calibration`. May import only what stands below the rooms of model.
"""
