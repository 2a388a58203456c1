#!/usr/bin/env bash
# GlusterFS on this machine, to compare with: six bricks, disperse 4+2, mounted at FOLDER/mnt.
#
#   gluster.sh install            install it if it is missing (Debian, Ubuntu)
#   gluster.sh version            say which it is
#   gluster.sh up FOLDER          start it on new bricks, mount it
#   gluster.sh restart FOLDER     restart the bricks, the management daemon and the mount
#   gluster.sh lose FOLDER        kill two bricks
#   gluster.sh processes FOLDER   a line `name pid` for each process
#   gluster.sh down FOLDER        stop all of it and remove its data, whatever is there of it
#
# Needs root.
set -euo pipefail

action=${1:?install, version, up, restart, lose, processes or down}
peer=gluster
address=10.213.77.1
volume=cairn-bench
state=/var/lib/glusterd
brick_count=6
redundancy=2
# shellcheck source=namespace.sh
source "$(dirname "$0")/namespace.sh"
if [ "$action" != install ] && [ "$action" != version ]; then folder=$(realpath -m -- "${2:?a folder}"); fi

gluster_command() { in_namespace gluster --mode=script "$@"; }

install() { install_packages glusterd glusterd glusterfs -- glusterfs-server glusterfs-client; }

version() { glusterfs --version | head -n 1; }

start_management() {
  in_namespace glusterd --log-level WARNING --pid-file "$folder/glusterd.pid"
  wait_for "glusterd answers" gluster_command volume list
}

create_volume() {
  local bricks=() number
  for number in $(seq "$brick_count"); do
    mkdir -p "$folder/brick-$number"
    bricks+=("$address:$folder/brick-$number")
  done
  gluster_command volume create "$volume" disperse "$brick_count" redundancy "$redundancy" "${bricks[@]}" force
  # What its documentation recommends for throughput.
  gluster_command volume set "$volume" client.event-threads 4
  gluster_command volume set "$volume" server.event-threads 4
  gluster_command volume set "$volume" performance.client-io-threads on
  gluster_command volume start "$volume"
}

all_bricks_online() {
  local online
  # The bricks and the daemon that heals; long paths are wrapped, so only the end of a line is looked at.
  online=$(gluster_command volume status "$volume" | grep -c ' Y  *[0-9][0-9]* *$' || true)
  [ "$online" -gt "$brick_count" ]
}

mount_volume() {
  wait_for "all bricks are online" all_bricks_online
  mkdir -p "$folder/mnt"
  in_namespace glusterfs --volfile-server="$address" --volfile-id="$volume" "$folder/mnt"
  wait_for_mount
}

up() {
  if [ -e "$state/vols/$volume" ]; then
    echo "gluster.sh: $state/vols/$volume is left from another run: gluster.sh down FOLDER first" >&2
    return 1
  fi
  make_network
  start_management
  create_volume
  mount_volume
}

# A stopped volume, because the management daemon starts the bricks of a started one by itself: a second start at the
# same time leaves the mount with ports on which nobody listens.
restart() {
  unmount
  gluster_command volume stop "$volume" force
  end_processes
  start_management
  gluster_command volume start "$volume"
  mount_volume
}

lose() {
  end_processes "--brick-name $folder/brick-2 "
  end_processes "--brick-name $folder/brick-5 "
}

# A brick keeps both, bytes and metadata.
name_of() {
  local brick
  if brick=$(grep -oE -- '--brick-name [^ ]*/brick-[0-9]+' <<< "$1"); then
    echo "node-${brick##*-}"
  else
    echo other
  fi
}

down() {
  end_action
  unmount
  delete_network
  rm -rf "$state/vols/$volume" "$folder"/brick-* "$folder/glusterd.pid"
}

run_action
