#!/bin/sh
# Beam's Prism and the workers' `boot`, for tests/jobs/test_prism.py. Two minutes of a core, 85 MB.
#
#   tests/support/portable.sh build FOLDER   needs Go, and its module proxy
#   tests/support/portable.sh serve FOLDER COMMAND...
#     runs a command beside Prism (localhost:8073) and a pool of workers (localhost:50000), for PYTHON. Both listen on
#     all interfaces and run what they are sent: so all of it has a network of its own, and ends with the command.
set -eu
what=$1 folder=$2
shift 2
if [ "$what" = build ]; then
    beam=github.com/apache/beam/sdks/v2
    GOBIN=$folder exec go install $beam/go/cmd/prism@v2.77.0 $beam/python/container@v2.77.0
fi
if [ "$what" = serve ]; then
    exec unshare --map-root-user --net --pid --fork --kill-child "$0" inside "$folder" "$@"
fi
if [ "$what" = boot ]; then
    # Prism gives the worker's id in quotes, and waits for a worker that is called without them.
    for argument in "$@"; do
        shift
        set -- "$@" "$(echo "$argument" | tr -d "'")"
    done
    RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 exec "$folder/container" "$@"
fi
ip link set lo up
PATH=$(dirname "$PYTHON"):$PATH
export PATH
"$folder/prism" --job_port 8073 --serve_http=false >"${LOG:-/dev/null}" 2>&1 &
"$PYTHON" -m apache_beam.runners.worker.worker_pool_main --service_port=50000 >>"${LOG:-/dev/null}" 2>&1 &
for port in 8073 50000; do
    until "$PYTHON" -c "import socket; socket.create_connection(('localhost', $port))" 2>/dev/null; do sleep 0.2; done
done
"$@"
