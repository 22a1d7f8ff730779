"""Bytes, local or remote: read whole, listed in order, never half-written; copies of remote folders.

Others use `files` and `cache.local_copy`. May import model's digests, errors and imports, and no other room.
"""
