"""Image bytes to a vector, and how to train what does it: no Beam, no shards, no Parquet, no ScaNN.

Its rooms, each of which may import those behind it: training, encoder, networks, images, measuring; and the modules
quiet, imports, digests, cores, settings, waiting, errors, which stand below them all.
"""
