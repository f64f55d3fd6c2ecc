#!/usr/bin/env bash
# From nothing to drum sounds. Nothing that took minutes is done again.
#   bash launch/quickstart.sh         installs drumjax into .venv and plays the factory instrument
#   bash launch/quickstart.sh train   trains an instrument on procedural drums and plays that one
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/venv.sh

runs=runs/quickstart
data=$runs/data
instrument=$runs/trained.safetensors
again="bash launch/quickstart.sh${1:+ $1}"

trap interrupted INT

all_sounds_there() {
  local sounds=("$1"/drumjax_*.wav)
  [ -f "$1/drumjax_contact_sheet.png" ] && [ ${#sounds[@]} -eq 44 ]
}

play_factory() {
  local output=out/factory
  install pictures
  echo "Playing the factory instrument (seconds; the first run also compiles) …"
  run -m drumjax sample --category=all --count=4 --seed=1 --output="$output"
  cat <<END

Done. 44 sounds: $PWD/$output/*.wav
All at a glance: $PWD/$output/drumjax_contact_sheet.png
To go on:
  other sounds            $venv_python -m drumjax sample --category=snare --seed=2 --output=out/snares
  a kit for a sampler     $venv_python -m drumjax kit --seed=7 --format=wav,sfz --output=out/kit
  your own sound, varied  $venv_python -m drumjax vary --input=FILE --output=out/variations
  what else there is      $venv_python -m drumjax --help
To see how an instrument is made, train a small one, which takes a few minutes:
  bash launch/quickstart.sh train
END
}

train() {
  local output=out/trained
  install train

  if [ -d "$data" ]; then
    echo "1 of 4  The data set is there: $data"
  else
    echo "1 of 4  Making a data set of procedural drums (half a minute) …"
    run -m drumjax prepare --synth_per_category=64 --output="$data"
  fi

  echo "2 of 4  Training a frame WAE, which learns the space of sounds (a few minutes) …"
  run -m drumjax train --config=configs/frame_wae.py:tiny --workdir="$runs/frame_wae" --config.data.path="$data"

  if [ -f "$instrument" ]; then
    echo "3 of 4  The instrument is there: $instrument"
  else
    echo "3 of 4  Gathering it into one file, and measuring what its controls do (a few minutes) …"
    run -m drumjax export-instrument --cwae="$runs/frame_wae" \
      --licence="none needed, the sounds are procedural" --control_sounds=120 --output="$instrument"
  fi

  if all_sounds_there "$output"; then
    echo "4 of 4  The sounds are there: $output"
  else
    echo "4 of 4  Writing 4 sounds of each category (seconds) …"
    run -m drumjax sample --instrument="$instrument" \
      --category=all --count=4 --seed=1 --output="$output"
  fi

  cat <<END

Done. 44 sounds: $PWD/$output/*.wav
All at a glance: $PWD/$output/drumjax_contact_sheet.png
Two minutes of training on procedural drums give the outline of a drum, no more. To go on:
  play this instrument  $venv_python -m drumjax kit --instrument=$instrument --output=out/kit
  your own samples      $venv_python -m drumjax prepare --input=FOLDER --output=runs/mine/data
  train on those        $venv_python -m drumjax train --config=configs/frame_wae.py:small --workdir=runs/mine/frame_wae --config.data.path=runs/mine/data
END
}

case "$*" in
  "") play_factory ;;
  train) train ;;
  *)
    echo "There is no '$*' here: use bash launch/quickstart.sh, or bash launch/quickstart.sh train" >&2
    exit 2
    ;;
esac
