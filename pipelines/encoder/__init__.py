"""Making an encoder bundle from a network and a sample of the corpus, and changing its steps around the search.

Others use `build.build_encoder`, `tune` and `show`. May import train (whose run folders it reads), sources,
filesystem and model.
"""
