"""Image bytes to pixels of the size that a network takes.

Others use `decode.decode` and `preprocess.parse_spec`. May import only what stands below the rooms of model.
"""

MAX_PIXELS = 100_000_000
"""The largest picture that is decoded unless the caller says otherwise: 300 MB of RGB. It is here for those who want no
decoders."""
