#!/bin/sh
# Everything to know about a GPU in one command: the conformance suite with the real kernels, then everyday use, timed.
#   benchmarks/gpu/everyday.sh [WHEELS]     # WHEELS from pack.sh, if the machine has no network
# Made for less than 8 minutes on 16 cores, most of them for compiling; the suite is stopped after 4. Tables go to
# standard output. Ends with status 1 if anything is wrong.
set -u
cd "$(dirname "$0")/../.."
if [ $# -gt 0 ]; then
	python3 -m pip install --quiet --no-deps --no-index "$1"/*.whl || exit 1
fi
export PYTHONPATH="$PWD/src:$PWD"
status=0
# Processes compile for themselves; what one has compiled, Triton's cache on disk gives to the next.
timeout 240 python3 -m pytest -m gpu -n 8 -q -p no:cacheprovider tests/backends tests/models tests/integrations || status=1
timeout 240 python3 benchmarks/gpu/everyday.py || status=1
exit $status
