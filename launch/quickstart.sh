#!/usr/bin/env bash
# From nothing to drum sounds of your own: installs drumjax into .venv, makes a small data set of
# procedural drums, trains both networks on it, makes an instrument of them and plays it. Nothing
# that is done is done again.
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/venv.sh

runs=runs/quickstart
data=$runs/data
instrument=$runs/quickstart.safetensors
output=out/quickstart

interrupted() {
  printf '\nStopped. To go on from here, run the same command again: bash launch/quickstart.sh\n' >&2
  exit 130
}
trap interrupted INT

# Runs a command; a failure ends the script with the command's status.
run() {
  "$venv_python" "$@" || {
    local status=$?
    [ "$status" -eq 130 ] && interrupted
    exit "$status"
  }
}

all_sounds_there() {
  set -- "$output"/drumjax_*.wav
  [ -f "$output/drumjax_contact_sheet.png" ] && [ $# -eq 44 ]
}

install train

if [ -d "$data" ]; then
  echo "1 of 5  The data set is there: $data"
else
  echo "1 of 5  Making a data set of procedural drums (half a minute) …"
  run -m drumjax prepare --synth_per_category=64 --output="$data"
fi

echo "2 of 5  Training the CWAE, which learns the space of sounds (a few minutes) …"
run -m drumjax train --config=configs/cwae.py:tiny --workdir="$runs/cwae" --config.data.path="$data"

echo "3 of 5  Training the MCNN, which turns spectrograms into sound (a few minutes) …"
run -m drumjax train --config=configs/mcnn.py:tiny --workdir="$runs/mcnn" --config.data.path="$data"

if [ -f "$instrument" ]; then
  echo "4 of 5  The instrument is there: $instrument"
else
  echo "4 of 5  Gathering both into one file, and measuring what its controls do (a minute) …"
  run -m drumjax export-instrument --cwae="$runs/cwae" --mcnn="$runs/mcnn" \
    --licence="none needed, the sounds are procedural" --control_sounds=120 --output="$instrument"
fi

if all_sounds_there; then
  echo "5 of 5  The sounds are there: $output"
else
  echo "5 of 5  Writing 4 sounds of each category (seconds) …"
  run -m drumjax sample --instrument="$instrument" \
    --category=all --count=4 --seed=1 --output="$output"
fi

cat <<END

Done. 44 sounds: $output/*.wav    All at a glance: $output/drumjax_contact_sheet.png
Two minutes of training give the outline of a drum, no more. To go on:
  other sounds        $venv_python -m drumjax sample --instrument=$instrument --seed=2 --output=out/more
  a kit for a sampler $venv_python -m drumjax kit --instrument=$instrument --seed=7 --output=out/kit
  your own samples    $venv_python -m drumjax prepare --input=FOLDER --output=runs/mine/data
  longer training     $venv_python -m drumjax train --config=configs/cwae.py:small --workdir=runs/mine/cwae --config.data.path=runs/mine/data
  what else there is  $venv_python -m drumjax --help
END
