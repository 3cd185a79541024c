# What a worker of a Vertex AI custom job runs, with the arguments of `trailrank train`.

# The job's own YAML files, each as NAME=BASE64.
for file in ${TRAILRANK_FILES-}; do
  mkdir -p "$TRAILRANK_FILES_PLACE"
  printf %s "${file#*=}" | base64 -d > "$TRAILRANK_FILES_PLACE/${file%%=*}" || exit 1
done
if [ -n "${TRAILRANK_TPU_FROM_VERTEX-}" ]; then
  set -- "$@" --tpu "${TPU_NODE_NAME:?is not set: this is no TPU of several hosts}"
fi

# bash passes no signal on to what it runs. When Vertex stops the machine, the training
# needs its SIGTERM to write a checkpoint.
trap 'kill -TERM "$!" 2> /dev/null' TERM # set first: the signal may come at once
trailrank train "$@" &
training=$!
wait "$training"
status=$?
while kill -0 "$training" 2> /dev/null; do # a signal ended the wait, not the training
  wait "$training"
done
if [ "$status" -gt 128 ]; then # bash tells the status of what has ended once more
  wait "$training"
  status=$?
fi

# 75 is ours for "preempted, checkpoint written". Vertex starts a job again, up to three
# times, after the statuses that it takes for passing; 134 is one of them, 75 is not.
[ "$status" -ne 75 ] || status=134
exit "$status"
