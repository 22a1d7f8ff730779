"""The encoder bundle: made (`export`), opened and run (`bundle`), with what is fitted for it and kept in it.

Others use `bundle.Encoder`, `bundle.read_manifest`, `bundle.fingerprint`, `export.build_bundle`, and the settings of
`post_processing` and `projection`. May import networks, images and what stands below the rooms of model.
"""
