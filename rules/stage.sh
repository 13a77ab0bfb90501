# What every job's shell reads first. A process that is killed can say nothing, so its shell does; the words go where the
# stage's own go, to log and terminal.
python() {
  local status=0
  command python "$@" || status=$?
  if ((status == 137)); then
    echo "error: killed by signal 9: out of memory? Fewer jobs at a time (--cores) leave more memory to each." >&2
  elif ((status > 128)); then
    echo "error: killed by signal $((status - 128))." >&2
  fi
  return "$status"
}

# Where `roftmol recommend` started the workflow, standard output is the verdict's. A stage's words go to its log, and to
# the terminal if fits are to be shown.
case "${ROFTMOL_SHOWS:-}" in
  fits) tee() { command tee "$@" >&2; } ;;
  ?*) tee() { command tee "$@" >/dev/null; } ;;
esac
