#!/usr/bin/env bash
# On a machine with a CUDA GPU: how fast is it, then the gpu scales that are worth
# most, in this order, until HOURS have passed.
#
#   make gpu HOURS=8
#
# Run it again to go on: what is done is not run again. The records of what is
# done are written after each experiment, and when time is up.
set -uo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
hours=${HOURS:-8}
end=$(($(date +%s) + $("$python" -c "print(round(3600 * float('$hours')))")))
if [ ! -e bench/GPU.json ]; then
  "$python" bench/gpu.py || exit
fi
status=0
for name in knowledge_extraction error_correction knowledge_capacity; do
  left=$((end - $(date +%s)))
  if [ "$left" -lt 120 ]; then
    break
  fi
  # The launcher stops its trainers, which save.
  timeout --signal=TERM "$left" "$python" -m physics_lm.launch \
    "experiments/$name.py" --scale=gpu || {
      last=$?  # 124: out of time
      [ "$last" -eq 124 ] || status=$last
    }
  "$python" -m physics_lm.report "experiments/$name.py" --scale=gpu --partial ||
    status=$?
done
echo "records: experiments/results/*/gpu.runs.jsonl; speed: bench/GPU.md"
exit "$status"
