# Read by the bash of every job (BASH_ENV): writes down what a job was given, and does to the first attempt of some jobs
# what a cluster does: fails it, lets it hang beyond its time, kills it in the middle. The workflow knows nothing of it;
# rules/stage.sh starts python by `command`.
command() {
  [ "$1" = python ] || { builtin command "$@"; return; }
  shift
  local stage=$3 jobname given out
  jobname=$(printf '%s' "$*" | sed -n 's|.*--out [^ ]*/\([a-z0-9_]*\)\( .*\)\?$|\1|p')
  given=$(scontrol show job "$SLURM_JOB_ID" 2>/dev/null | grep -oE '(TimeLimit|MinMemoryNode)=[^ ]*' | tr '\n' ' ')
  echo "$stage $jobname gpus=${CUDA_VISIBLE_DEVICES-} partition=${SLURM_JOB_PARTITION-} $given" >>"$MISHAPS/jobs"
  if [ "$stage" = finetune ] && [ -d "$MISHAPS/$jobname" ] && mkdir "$MISHAPS/$jobname/done" 2>/dev/null; then
    if [ -e "$MISHAPS/$jobname/fail" ]; then echo "a node fails" >&2; return 1; fi
    if [ -e "$MISHAPS/$jobname/hang" ]; then sleep 600; fi
    if [ -e "$MISHAPS/$jobname/kill" ]; then
      out=$(printf '%s' "$*" | sed 's|.*--out ||')
      builtin command python "$@" &
      until [ -n "$(find "$out/parts" -mindepth 1 -name '[!.]*' 2>/dev/null)" ]; do sleep 0.02; done
      kill -9 $!
      find "$out/parts" -mindepth 1 -name '[!.]*' -printf '%f %T@\n' >"$MISHAPS/$jobname/finished"
      wait $! || return 1
    fi
  fi
  builtin command python "$@"
}
