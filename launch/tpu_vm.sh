#!/usr/bin/env bash
# Trains on a Cloud TPU, from your own machine: a single host (v5litepod-8, v6e-8) or a pod of
# several (v5litepod-16 and larger), where every line goes to --worker=all and the hosts find each
# other. Needs gcloud, logged in, with a project. A TPU costs money from `create` to `delete`.
#   name=drums zone=us-west4-a accelerator=v5litepod-8 bash launch/tpu_vm.sh create
#   name=drums zone=us-west4-a data=runs/mine/data bash launch/tpu_vm.sh install
#   name=drums zone=us-west4-a config=configs/frame_wae.py bash launch/tpu_vm.sh train
#       other words go to the training; data.per_category becomes a multiple of all devices, rounded
#       up from the config's, unless a run was begun or --config.data.per_category=64 says another
#   name=drums zone=us-west4-a bash launch/tpu_vm.sh log       what process 0 says; Ctrl-C ends that alone
#   name=drums zone=us-west4-a bash launch/tpu_vm.sh stop      saves, on all hosts; train goes on
#   name=drums zone=us-west4-a bash launch/tpu_vm.sh fetch     the work directory, to runs/tpu/
#   name=drums zone=us-west4-a bash launch/tpu_vm.sh delete
#   dry=1 …                                                    prints the gcloud lines, runs nothing
# All hosts of a pod must see the work directory, and one that outlives a spot TPU lets the run go
# on on the next one: share=ADDRESS:/VOLUME mounts an NFS volume at ~/drumjax/runs on every host in
# `install`, such as that of
#   gcloud filestore instances create drums --zone=us-west4-a --tier=BASIC_HDD \
#     --file-share=name=runs,capacity=1TB --network=name=default
# Checked by shellcheck, and the flags of the gcloud lines against gcloud's own help. Not run on a TPU
# yet.
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/venv.sh

name=${name:-drumjax}
zone=${zone:-us-west4-a}
accelerator=${accelerator:-v5litepod-8}
spot=${spot:-}   # 1: cheaper, and taken away at any time
data=${data:-}   # a folder of `drumjax prepare`; empty: procedural drums, made on each host
share=${share:-} # ADDRESS:/VOLUME
config=${config:-configs/frame_wae.py:small}
workdir=${workdir:-runs/$(basename "${config%%:*}" .py)}

# The system image of a TPU; version=… names another.
image() {
  case "$accelerator" in
    v6e-*) echo v2-alpha-tpuv6e ;;
    v5p-*) echo v2-alpha-tpuv5 ;;
    v5litepod-*) echo v2-alpha-tpuv5-lite ;;
    v2-* | v3-* | v4-*) echo tpu-ubuntu2204-base ;;
    *) stop "No system image is known for $accelerator; name one of \`gcloud compute tpus tpu-vm versions list --zone=$zone\`: version=NAME" ;;
  esac
}

tpu() {
  local line=(gcloud compute tpus tpu-vm "$@" "--zone=$zone")
  [ -z "${dry:-}" ] || {
    printf '%q ' "${line[@]}"
    echo
    return
  }
  "${line[@]}" || stop "gcloud failed at $1, see the lines above; run the same command again to go on."
}

# On every host, in the home folder; on_first on the first one alone.
on_all() {
  tpu ssh "$name" --worker=all "--command=$1"
}

on_first() {
  tpu ssh "$name" --worker=0 "--command=$1"
}

create() {
  local version=${version:-}
  [ -n "$version" ] || version=$(image)
  tpu create "$name" "--accelerator-type=$accelerator" "--version=$version" ${spot:+--spot}
}

# The images' own Python may be older than 3.11; uv brings one.
install_all() {
  local packed
  packed=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf '$packed'" EXIT
  tar -czf "$packed/drumjax.tgz" pyproject.toml README.md LICENSE configs drumjax launch
  [ -z "$data" ] || tar -czf "$packed/data.tgz" -C "$data" .
  on_all "mkdir -p drumjax/runs"
  [ -z "$share" ] || on_all "mountpoint -q drumjax/runs || { sudo apt-get -qq install -y nfs-common && sudo mount -t nfs '$share' drumjax/runs && sudo chmod 777 drumjax/runs; }"
  tpu scp "$packed/drumjax.tgz" "$name:" --worker=all
  on_all "tar -xzf drumjax.tgz -C drumjax && python3 -m pip install -q --user uv && ~/.local/bin/uv python install -q 3.12"
  on_all "cd drumjax && PYTHON=\$(~/.local/bin/uv python find 3.12) bash -c 'source launch/venv.sh && install train tpu'"
  if [ -n "$data" ]; then
    tpu scp "$packed/data.tgz" "$name:" --worker=all
    on_all "mkdir -p drumjax/data && tar -xzf data.tgz -C drumjax/data"
  else # on the CPU, as the hosts of a pod cannot use its chips one by one
    on_all "cd drumjax && { [ -d data ] || JAX_PLATFORMS=cpu .venv/bin/python -m drumjax prepare --synth_per_category=300 --output=data; }"
  fi
}

# How many devices all hosts of an accelerator type have: v4 and v5p are named by their cores, of
# which JAX takes two as one; the others by what JAX takes as one.
devices() {
  case "$1" in
    v4-* | v5p-*) echo $((${1##*-} / 2)) ;;
    *) echo "${1##*-}" ;;
  esac
}

# A lost connection does not end it: each host trains in the background and writes train.log.
train() {
  local type=$accelerator ask words shared
  ask=(describe "$name" "--format=value(acceleratorType)")
  if [ -n "${dry:-}" ]; then
    tpu "${ask[@]}"
  else
    type=$(tpu "${ask[@]}")
  fi
  printf -v shared '%q ' "$(devices "$type")" "$config" "$workdir"
  printf -v words '%q ' "--config=$config" "--workdir=$workdir" --config.data.path=data "$@"
  on_all "cd drumjax && if [ -f train.pid ] && kill -0 \$(cat train.pid) 2>/dev/null; then echo It trains already.; else source launch/venv.sh; shared=\$(for_devices $shared); nohup .venv/bin/python -m drumjax.train \$shared $words>train.log 2>&1 </dev/null & echo \$! >train.pid; fi"
}

trap interrupted INT

[ -n "${dry:-}" ] || command -v gcloud >/dev/null ||
  stop "There is no gcloud; install the Google Cloud CLI, or print the lines that it would be given: dry=1 bash $0 …"

step=${1:-}
shift || true
case "$step" in
  create) create ;;
  install) install_all ;;
  train) train "$@" ;;
  log) on_first "tail -n 50 -f drumjax/train.log" ;;
  stop) on_all "kill -TERM \$(cat drumjax/train.pid 2>/dev/null) 2>/dev/null && echo It saves, then it stops. || echo Nothing trains here." ;;
  fetch)
    mkdir -p runs/tpu
    tpu scp --recurse "$name:drumjax/$workdir" runs/tpu/ --worker=0
    ;;
  delete) tpu delete "$name" --quiet ;;
  *)
    echo "Say what to do: bash launch/tpu_vm.sh create, install, train, log, stop, fetch or delete" >&2
    exit 2
    ;;
esac
