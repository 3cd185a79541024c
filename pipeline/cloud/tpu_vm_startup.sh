#!/bin/bash
# Runs at each boot on every host of a TPU VM, as root (metadata key startup-script).
# It installs a service that trains in a container. Status 75 of the training means
# preempted, checkpoint written: it is started again. Any other status is the end, also
# after a reboot.
#   journalctl --unit trailrank --follow                            the log
#   cat /var/lib/trailrank/ended                                    the last status
#   rm /var/lib/trailrank/ended; systemctl start trailrank          once more
set -euo pipefail

# SETTINGS

readonly PREEMPTED=75
readonly GRACE_S=25 # a spot TPU has 30 s from the notice to the end
readonly RETRY_S=${TRAILRANK_RETRY_S:-10}
readonly ROOT=${TRAILRANK_ROOT:-} # before all paths, to try the script elsewhere
readonly PROGRAM=$ROOT/opt/trailrank/start
readonly FILES_PLACE=$ROOT/etc/trailrank
readonly STATE=$ROOT/var/lib/trailrank
readonly UNIT=$ROOT/etc/systemd/system/trailrank.service
stopping=

log() {
  echo "trailrank: $*"
}

metadata() {
  curl --silent --fail --retry 10 --retry-connrefused --header 'Metadata-Flavor: Google' \
    "http://metadata.google.internal/computeMetadata/v1/instance/attributes/$1"
}

install_service() {
  if ((HOSTS > 1)); then
    local worker
    worker=$(metadata agent-worker-number)
    if ((worker != 0)); then
      log "host $worker of $HOSTS serves its chips to host 0, which trains"
      return
    fi
  fi
  mkdir -p "$(dirname "$PROGRAM")" "$FILES_PLACE" "$STATE" "$(dirname "$UNIT")"
  local file
  for file in "${FILES[@]}"; do
    printf %s "${file#*=}" | base64 -d > "$FILES_PLACE/${file%%=*}"
  done
  install -m 755 "${BASH_SOURCE[0]}" "$PROGRAM.new"
  mv "$PROGRAM.new" "$PROGRAM" # at once: the old one may be running
  write_unit > "$UNIT"
  systemctl daemon-reload
  systemctl enable trailrank.service
  systemctl start --no-block trailrank.service
  log 'installed; journalctl --unit trailrank --follow shows the training'
}

write_unit() {
  cat << END
[Unit]
Description=trailrank train, in a container
After=docker.service network-online.target
Wants=docker.service network-online.target

[Service]
Environment=HOME=/root
ExecStart=$PROGRAM train
Restart=no
KillMode=mixed
TimeoutStopSec=$((GRACE_S + 3))
SyslogIdentifier=trailrank

[Install]
WantedBy=multi-user.target
END
}

train() {
  if [[ -e $STATE/ended ]]; then
    log "ended with status $(< "$STATE/ended") before; remove $STATE/ended to go on"
    return
  fi
  pull_image
  trap stop TERM
  local status=0
  while [[ ! $stopping ]]; do
    status=0
    run_container || status=$?
    ((status == PREEMPTED)) && [[ ! $stopping ]] || break
    log "preempted, checkpoint written; starting again in $RETRY_S s"
    sleep "$RETRY_S" &
    wait $! || true
  done
  if [[ $stopping ]]; then
    log "stopped with status $status; the next boot goes on"
    return
  fi
  log "ended with status $status"
  echo "$status" > "$STATE/ended"
  return "$status"
}

pull_image() {
  docker image inspect "$IMAGE" > /dev/null 2>&1 && return
  local registry=${IMAGE%%/*} attempt
  case $registry in
    *.pkg.dev | gcr.io | *.gcr.io) gcloud auth configure-docker "$registry" --quiet ;;
  esac
  for attempt in 1 2 3 4 5; do # the network may come later than this
    docker pull --quiet "$IMAGE" && return
    log "attempt $attempt to pull $IMAGE failed"
    sleep "$RETRY_S"
  done
  log "no image $IMAGE; is the path right, may the TPU's service account read it?"
  return 1
}

# In the background, for a trap is taken only between two commands.
run_container() {
  local variable arguments=()
  for variable in "${ENVIRONMENT[@]}"; do
    arguments+=(--env "$variable")
  done
  docker rm --force trailrank > /dev/null 2>&1 || true
  [[ ! $stopping ]] || return "$PREEMPTED" # nothing to stop was there yet
  docker run --rm --name trailrank --privileged --net host --ulimit memlock=-1 \
    --log-opt max-size=50m --volume "$FILES_PLACE:/etc/trailrank:ro" \
    "${arguments[@]}" "$IMAGE" trailrank train "${TRAIN[@]}" &
  wait_for $!
}

# The status of a process. A signal ends `wait` early, and bash tells the status of a
# process that has ended as often as it is asked.
wait_for() {
  local status=0
  wait "$1" || status=$?
  while kill -0 "$1" 2> /dev/null; do
    wait "$1" || true
  done
  if ((status > 128)); then
    status=0
    wait "$1" || status=$?
  fi
  return "$status"
}

stop() {
  stopping=1
  docker stop --time "$GRACE_S" trailrank > /dev/null || true
}

case ${1:-install} in
  install) install_service ;;
  train) train ;;
esac
