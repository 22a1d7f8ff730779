"""Pictures of a catalogue that are copies of each other: equal bytes, equal pixels, near copies.

`job` finds pairs of near vectors (`neighbours`), looks at both pictures of each (`thumbnails`, `alignment`,
`checking`), judges by copies of its own making (`copies`, `threshold`), and makes groups (`grouping`) around what is
kept (`keeping`).
May import query, index, embedding, store, config, sources, runner, filesystem and model.
"""
