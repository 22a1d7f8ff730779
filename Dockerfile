# One image for every role: the command, a Dask scheduler, a Dask worker, a pool of Beam workers. See docs/cluster.md.
#
#   docker build -t lookalike .
#   docker run lookalike dask scheduler
#   docker run lookalike dask worker SCHEDULER:8786 --no-nanny --nthreads 1
#   docker run lookalike lookalike nightly -c /jobs/nightly.yaml -- --runner dask --dask_client_address SCHEDULER:8786
#   docker run lookalike python -m apache_beam.runners.worker.worker_pool_main --service_port=50000
#
# x86-64, where all wheels are made for; no compiler is needed. Not built yet: there is no Docker where it was written.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt pyproject.toml README.md LICENSE /lookalike/
COPY pipelines /lookalike/pipelines
COPY model /lookalike/model
RUN pip install --constraint /lookalike/constraints.txt '/lookalike[dask,openvino]'

# The store and the shards are mounted; `--user` gives the numbers of whoever owns them.
RUN useradd --create-home --uid 1000 lookalike
USER lookalike
WORKDIR /home/lookalike
CMD ["lookalike", "--help"]
