#!/usr/bin/env bash
# etcd on this machine, to compare with: members on loopback with their data below FOLDER.
#
#   etcd.sh install                              install it if it is missing (Debian, Ubuntu)
#   etcd.sh up FOLDER CLIENT_PORT:PEER_PORT...   start a new cluster, one member for each pair of ports
#   etcd.sh down FOLDER                          stop its members and remove their data
#
# Settings are etcd's own: every write is synced. Who starts it picks ports that are free, and asks the members when
# they are ready.
set -euo pipefail

action=${1:?install, up or down}
wait_limit_s=20

install_packages() {
  command -v etcd > /dev/null && return
  if ! command -v apt-get > /dev/null; then
    echo "etcd.sh: etcd is missing, and this is no Debian or Ubuntu: install it and try again" >&2
    return 1
  fi
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends etcd-server
  # The package may start a member at once, on ports of its own; it is not ours.
  if [ -d /run/systemd/system ]; then systemctl disable --now etcd; fi
}

up() {
  local folder=$1 number=0 pair members=""
  shift
  if compgen -G "$folder/member-*" > /dev/null; then
    echo "etcd.sh: $folder holds members of another run: etcd.sh down $folder first" >&2
    return 1
  fi
  for pair in "$@"; do
    number=$((number + 1))
    members+="${members:+,}member-$number=http://127.0.0.1:${pair#*:}"
  done
  number=0
  for pair in "$@"; do
    number=$((number + 1))
    start_member "$folder" "member-$number" "http://127.0.0.1:${pair%:*}" "http://127.0.0.1:${pair#*:}" "$members"
  done
}

start_member() {
  local folder=$1 name=$2 client_url=$3 peer_url=$4 members=$5
  mkdir -p "$folder/$name"
  nohup etcd --name "$name" --data-dir "$folder/$name/data" \
    --listen-client-urls "$client_url" --advertise-client-urls "$client_url" \
    --listen-peer-urls "$peer_url" --initial-advertise-peer-urls "$peer_url" \
    --initial-cluster "$members" --initial-cluster-state new \
    --logger zap --log-level warn > "$folder/$name/log" 2>&1 < /dev/null &
  echo $! > "$folder/$name/pid"
}

# ours PID FOLDER: the process runs a member of this folder, and is no stranger with a number used again.
ours() { tr '\0' ' ' 2> /dev/null < "/proc/$1/cmdline" | grep -qF -- "--data-dir $2/"; }

down() {
  local folder=$1 end=$((SECONDS + wait_limit_s)) file pid
  for file in "$folder"/member-*/pid; do
    [ -e "$file" ] || continue
    pid=$(< "$file")
    if ours "$pid" "$folder"; then kill -9 "$pid"; fi
    while ours "$pid" "$folder"; do
      if ((SECONDS >= end)); then
        echo "etcd.sh: process $pid does not end" >&2
        return 1
      fi
      sleep 0.1
    done
  done
  rm -rf "$folder"/member-*
}

case $action in
  install) install_packages ;;
  up)
    folder=$(realpath -m -- "${2:?a folder}")
    shift 2
    : "${1:?a pair of ports}"
    up "$folder" "$@"
    ;;
  down) down "$(realpath -m -- "${2:?a folder}")" ;;
  *) echo "etcd.sh: $action is none of install, up, down" >&2; exit 2 ;;
esac
