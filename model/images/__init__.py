"""Image bytes to pixels of the size that a network takes.

Others use `decode.decode` and `preprocess.parse_spec`. May import only what stands below the rooms of model.
"""
