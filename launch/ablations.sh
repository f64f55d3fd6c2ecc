#!/usr/bin/env bash
# Takes one thing of the paper away at a time, trains each network so for a short while, and prints
# what it was for as one Markdown table. On two cores about an hour and a half with the budgets
# below; Ctrl-C and the same command go on, and rows that are done are not done again.
#   bash launch/ablations.sh                                 on the data set of launch/quickstart.sh
#   data=DIR cwae_steps=1600 bash launch/ablations.sh        on another, for longer
#   only="base no_mmd" bash launch/ablations.sh              some of the rows
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/venv.sh

data=${data:-runs/quickstart/data}
base=${base:-small}            # the variant that the changes are made to: small or tiny
cwae_steps=${cwae_steps:-300}  # the budget of each row of a family, with a rate that falls to zero
mcnn_steps=${mcnn_steps:-500}
frame_wae_steps=${frame_wae_steps:-300}
runs=${runs:-runs/ablations}
only=${only:-}

trap interrupted INT

chosen() {
  [ -z "$only" ] || [[ " $only " == *" $1 "* ]]
}

# Where a family's rows of this budget lie: results of different budgets never share a table.
folder() {
  local steps=${1}_steps
  echo "$runs/$base-${!steps}/$1/$2"
}

# remaining SECONDS ROWS_TRAINED ROWS_LEFT
remaining() {
  [ "$2" -gt 0 ] && echo ", about $((($1 * $3 / $2 + 59) / 60)) minutes left" || echo ""
}

install train
[ -d "$data" ] || stop "There is no data set $data; make one with: $venv_python -m drumjax prepare --output=$data, or name one: data=DIR bash launch/ablations.sh"

listed=$(run -m drumjax.benchmarks.ablations list --base="$base")
for word in $only; do
  grep -q -- "^[^ ]* $word " <<<"$listed " || stop "No row is called $word; see: $venv_python -m drumjax.benchmarks.ablations list"
done
rows=()
while read -r row; do
  read -r _ name _ <<<"$row"
  chosen "$name" && rows+=("$row")
done <<<"$listed"

folders=()
todo=0
for row in "${rows[@]}"; do
  read -r model name _ <<<"$row"
  folders+=("$(folder "$model" "$name")")
  [ -f "${folders[-1]}/ablation.json" ] || todo=$((todo + 1))
done
echo "${#rows[@]} rows, $todo of them to do"

began=$SECONDS
trained=0
for row in "${rows[@]}"; do
  read -r model name variant source <<<"$row"
  output=$(folder "$model" "$name")
  [ -f "$output/ablation.json" ] && continue
  steps=${model}_steps
  steps=${!steps}
  echo "== $model $name ($variant, $steps steps): $((trained + 1)) of $todo$(remaining $((SECONDS - began)) $trained $((todo - trained)))"
  workdir=$(folder "$model" "$source")
  if [ ! -f "$workdir/ablation.json" ]; then
    [ "$source" = "$name" ] || variant=$base
    run -m drumjax.train --config="configs/$model.py:$variant" --workdir="$workdir" \
      --config.data.path="$data" --config.train.steps="$steps" --config.train.schedule=cosine \
      --config.train.log_every=1 --config.train.validate_every="$steps" \
      --config.train.checkpoint_every="$steps"
  fi
  run -m drumjax.benchmarks.ablations measure "$model" "$name" \
    --workdir="$workdir" --data="$data" --output="$output"
  trained=$((trained + 1))
done

table=$runs/$base-$cwae_steps-$frame_wae_steps-$mcnn_steps.md
run -m drumjax.benchmarks.ablations table "${folders[@]}" | tee "$table"
printf '\nThe table is in %s, every run in %s.\n' "$table" "$runs"
