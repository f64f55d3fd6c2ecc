#!/usr/bin/env bash
# Trains on this machine's NVIDIA GPUs, on all that it has. The driver must be there (nvidia-smi);
# CUDA itself is installed into .venv, with JAX. Ctrl-C stops and saves; the same command goes on.
#   bash launch/gpu.sh                                    on procedural drums, which it makes first
#   data=DIR bash launch/gpu.sh                           on a data set of `drumjax prepare`
#   config=configs/cwae.py data=DIR bash launch/gpu.sh    the paper's CWAE, at its size
#   devices=0,1 cuda=13 bash launch/gpu.sh                two of the GPUs; CUDA 13 (drivers from 580)
#   bash launch/gpu.sh --config.train.learning_rate=3e-4  other words go to the training
# The GPUs share each batch: data.per_category becomes a multiple of their number, rounded up from
# the config's; a run that was begun keeps its own. --config.data.per_category=64 says another.
# Checked by shellcheck, and against a stand-in for the driver; not run on a GPU yet.
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/venv.sh

config=${config:-configs/frame_wae.py:small} # without :small it is for tens of thousands of sounds
name=$(basename "${config%%:*}" .py)
data=${data:-runs/gpu/data}
workdir=${workdir:-runs/gpu/$name}
cuda=${cuda:-12}

trap interrupted INT

command -v nvidia-smi >/dev/null ||
  stop "There is no NVIDIA driver here (nvidia-smi); install one, or train on the CPU: bash launch/quickstart.sh train"
nvidia-smi -L || stop "The NVIDIA driver does not answer, see the line above; restart the machine, or install the driver again."
[ -z "${devices:-}" ] || export CUDA_VISIBLE_DEVICES=$devices

install train "cuda$cuda"
gpus=$("$venv_python" -c 'import jax; print(len(jax.devices("gpu")))' 2>/dev/null) ||
  stop "JAX sees no GPU: $("$venv_python" -c 'import jax; jax.devices("gpu")' 2>&1 | tail -n 1)"

if [ -d "$data" ]; then
  echo "1 of 2  The data set is there: $data"
else
  echo "1 of 2  Making a data set of procedural drums (minutes) …"
  run -m drumjax prepare --synth_per_category=300 --output="$data"
fi

echo "2 of 2  Training $config …"
shared=$(for_devices "$gpus" "$config" "$workdir")
run -m drumjax.train --config="$config" --workdir="$workdir" --config.data.path="$data" ${shared:+"$shared"} "$@"

cat <<END_OF_WORDS

Done. The checkpoints are in $workdir/checkpoints. To play what was trained:
  $venv_python -m drumjax export-instrument --cwae=$workdir --output=runs/gpu/trained.safetensors
  $venv_python -m drumjax sample --instrument=runs/gpu/trained.safetensors --category=all --output=out/gpu
END_OF_WORDS
