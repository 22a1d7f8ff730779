"""The loop that trains a network, and what it is made of.

Others use `loop.Training`, the settings in `recipe`, and `batches.Images`, which they implement. May import networks,
images, measuring and what stands below the rooms of model.
"""
