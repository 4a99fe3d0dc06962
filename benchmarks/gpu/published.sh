#!/bin/sh
# Published checkpoints on a GPU: differences from their home codes in float64 and float32, then times.
#   benchmarks/gpu/published.sh REFERENCE_FOLDER [WHEELS]     # WHEELS from pack.sh, if the machine has no network
# Takes about two minutes. The tables go to standard output.
set -eu
cd "$(dirname "$0")/../.."
reference=$1
if [ $# -gt 1 ]; then
	python3 -m pip install --quiet --no-deps --no-index "$2"/*.whl
fi
status=0
export PYTHONPATH="$PWD/src:$PWD"
python3 -c 'import torch; print(torch.__version__, torch.cuda.get_device_name(), "TF32 for matmul:", torch.backends.cuda.matmul.allow_tf32)'
for dtype in float64 float32; do
	printf '\n%s\n\n' "$dtype"
	python3 benchmarks/parity.py "$reference" --device cuda --dtype "$dtype"
done
for model in default "$reference/tensorflow-MP-2021.2.8-EFS" "$reference/matgl-M3GNet-MatPES-PBE-v2025.1-PES" \
	"$reference/mattersim-random/mattersim-random-1M.pth"; do
	printf '\n%s\n\n' "$(basename "$model")"
	python3 benchmarks/check_device.py --model "$model" --largest 16 || status=$?
done
exit "$status"
