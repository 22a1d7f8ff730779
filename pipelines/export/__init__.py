"""What is served, as files for other programs: ids, vectors and metadata.

Others use `job.export`. May import index and what stands below it.
"""
