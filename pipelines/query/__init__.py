"""Files of queries to tables of results and failures.

Others use `job.query` with `job.QueryOptions`; `inputs` reads images, vectors and ids as queries. May import index
and what stands below it.
"""
