#!/usr/bin/env bash
# GlusterFS on this machine, to compare with: six bricks, disperse 4+2, mounted at FOLDER/mnt.
#
#   gluster.sh up FOLDER        install it if it is missing (Debian, Ubuntu), start it, mount it
#   gluster.sh restart FOLDER   restart the bricks, the management daemon and the mount
#   gluster.sh down FOLDER      stop all of it and remove its data
#
# Needs root. GlusterFS refuses bricks on a loopback address, so its daemons live in a network namespace
# of their own, on one end of a veth pair that never leaves it. The mount is made from inside the
# namespace and seen outside, because only the network is separate.
set -euo pipefail

action=${1:?up, restart or down}
folder=$(realpath -m -- "${2:?a folder}")
namespace=cairn-bench-gluster
address=10.213.77.1
volume=cairn-bench
state=/var/lib/glusterd
brick_count=6
redundancy=2
wait_limit_s=60

in_namespace() { nsenter --net="/run/netns/$namespace" -- "$@"; }
gluster_command() { in_namespace gluster --mode=script "$@"; }

# wait_for MESSAGE COMMAND...: until the command succeeds, or the limit passes.
wait_for() {
  local message=$1 end=$((SECONDS + wait_limit_s))
  shift
  until "$@" > /dev/null 2>&1; do
    if ((SECONDS >= end)); then
      echo "gluster.sh: waited $wait_limit_s s in vain: $message" >&2
      return 1
    fi
    sleep 0.2
  done
}

install_packages() {
  command -v glusterd > /dev/null && command -v glusterfs > /dev/null && return
  if ! command -v apt-get > /dev/null; then
    echo "gluster.sh: GlusterFS is missing, and this is no Debian or Ubuntu: install it and try again" >&2
    return 1
  fi
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
    glusterfs-server glusterfs-client
  # The package may start its daemon at once; ours belongs into the namespace.
  if [ -d /run/systemd/system ]; then systemctl disable --now glusterd; fi
}

make_network() {
  [ -e "/run/netns/$namespace" ] || ip netns add "$namespace"
  in_namespace ip link set lo up
  in_namespace ip link show cairn-a > /dev/null 2>&1 || in_namespace ip link add cairn-a type veth peer name cairn-b
  in_namespace ip addr replace "$address/24" dev cairn-a
  in_namespace ip link set cairn-a up
  in_namespace ip link set cairn-b up
}

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
  mkdir -p "$folder/mnt"
  in_namespace glusterfs --volfile-server="$address" --volfile-id="$volume" "$folder/mnt"
  wait_for "the mount is there" mountpoint -q "$folder/mnt"
  wait_for "the volume takes files" touch "$folder/mnt/.ready"
  rm -f "$folder/mnt/.ready"
}

unmount_volume() {
  mountpoint -q "$folder/mnt" || return 0
  umount "$folder/mnt" || umount -l "$folder/mnt"
}

no_processes() { [ -z "$(ip netns pids "$namespace")" ]; }

# Ends every process in the namespace: bricks, management daemon, self-heal daemon, mount.
end_processes() {
  local pids
  pids=$(ip netns pids "$namespace")
  [ -z "$pids" ] && return
  # Some may end between the list and the signal.
  xargs -r kill -9 <<< "$pids" 2> /dev/null || true
  wait_for "its processes end" no_processes
}

up() {
  install_packages
  if [ -e "$state/vols/$volume" ]; then
    echo "gluster.sh: $state/vols/$volume is left from another run: gluster.sh down FOLDER first" >&2
    return 1
  fi
  mkdir -p "$folder"
  make_network
  start_management
  create_volume
  mount_volume
}

# A stopped volume, because the management daemon starts the bricks of a started one by itself: a second start at the
# same time leaves the mount with ports on which nobody listens.
restart() {
  unmount_volume
  gluster_command volume stop "$volume" force
  end_processes
  start_management
  gluster_command volume start "$volume"
  wait_for "all bricks are online" all_bricks_online
  mount_volume
}

down() {
  unmount_volume
  if [ -e "/run/netns/$namespace" ]; then
    gluster_command volume stop "$volume" force || true
    gluster_command volume delete "$volume" || true
    end_processes
    ip netns del "$namespace"
  fi
  rm -rf "$state/vols/$volume" "$folder"/brick-* "$folder/glusterd.pid"
}

case $action in
  up | restart | down) "$action" ;;
  *) echo "gluster.sh: $action is none of up, restart, down" >&2; exit 2 ;;
esac
