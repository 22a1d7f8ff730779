"""The job file: read, checked, and every wrong key told by name.

Others use `job.load_config` and the sections of `job.Config`; `job_file.read_job` reads any job file into a pydantic
model, whose parts are `job_file.Section`s. May import sources, filesystem and model.
"""
