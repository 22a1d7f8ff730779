"""What was made, what is served, who may write: notes, index manifests, generations, locks, takedowns.

Nothing here reads an image or a vector. Others use `notes`, `index_manifest`, `generation.publish`, `generations`,
`exclusions`, `prune`, `verify`, `lock.hold` and `leftovers.writing`. May import config, sources, runner, filesystem
and model.
"""
