"""Words: from an English text to a vector among those of images, so that an index of images can be asked in words.

    text -> tokens (`wordpiece`) -> a vector of its meaning (`minilm`) -> a vector of images (`class_names`, `tower`)

There is no network that was trained on pictures and their texts together. Others use `encoder.TextEncoder`. May import
encoder, networks and what stands below the rooms of model.
"""
