# What the scripts of peers that live in a network namespace share; sourced by them, with `action`,
# `peer`, `address` and `folder` set.
#
# These peers refuse a loopback address, so their daemons live in a network namespace of their own, on one end of a veth
# pair that never leaves it. The mount is made from inside the namespace and seen outside, because only the network is
# separate. Whatever runs in the namespace is theirs, so it is also how they are found and ended.

namespace=cairn-bench-$peer
wait_limit_s=60

in_namespace() { nsenter --net="/run/netns/$namespace" -- "$@"; }

# wait_for MESSAGE COMMAND...: until the command succeeds, or the limit passes.
wait_for() {
  local message=$1 end=$((SECONDS + wait_limit_s))
  shift
  until "$@" > /dev/null 2>&1; do
    if ((SECONDS >= end)); then
      echo "$peer.sh: waited $wait_limit_s s in vain: $message" >&2
      return 1
    fi
    sleep 0.2
  done
}

# install_packages SERVICE PROGRAM... -- PACKAGE...: unless all the programs are there. A package may start its service at
# once; ours belongs into the namespace.
install_packages() {
  local service=$1 missing=""
  shift
  while [ "$1" != -- ]; do
    command -v "$1" > /dev/null || missing=$1
    shift
  done
  shift
  [ -z "$missing" ] && return
  if ! command -v apt-get > /dev/null; then
    echo "$peer.sh: $missing is missing, and this is no Debian or Ubuntu: install it and try again" >&2
    return 1
  fi
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
  if [ -d /run/systemd/system ]; then systemctl disable --now "$service"; fi
}

make_network() {
  # A name without a namespace is left where a whole mount namespace went away.
  in_namespace true 2> /dev/null || rm -f "/run/netns/$namespace"
  [ -e "/run/netns/$namespace" ] || ip netns add "$namespace"
  stat -L -c %i "/run/netns/$namespace" > "$folder/namespace"
  in_namespace ip link set lo up
  in_namespace ip link show cairn-a > /dev/null 2>&1 || in_namespace ip link add cairn-a type veth peer name cairn-b
  in_namespace ip addr replace "$address/24" dev cairn-a
  in_namespace ip link set cairn-a up
  in_namespace ip link set cairn-b up
}

# All processes in the namespace. Where its name went away with a mount namespace, they are known by its number; since a
# number may be another's by then, they must also name the folder, or the volume, in their command lines.
namespace_processes() {
  local number task
  if in_namespace true 2> /dev/null; then
    ip netns pids "$namespace"
    return
  fi
  number=$(cat "$folder/namespace" 2> /dev/null) || return 0
  for task in /proc/[0-9]*; do
    [ "$(readlink "$task/ns/net" 2> /dev/null)" = "net:[$number]" ] || continue
    if tr '\0' ' ' 2> /dev/null < "$task/cmdline" | grep -qF -e "$folder/" -e cairn-bench; then echo "${task#/proc/}"; fi
  done
}

no_processes() { [ -z "$(namespace_processes)" ]; }

# end_processes [TEXT]: kills every process in the namespace, or those with the text in their command line.
end_processes() {
  local text=${1:-} pid pids=()
  for pid in $(namespace_processes); do
    if [ -z "$text" ] || tr '\0' ' ' < "/proc/$pid/cmdline" | grep -qF -- "$text"; then pids+=("$pid"); fi
  done
  [ ${#pids[@]} -eq 0 ] && return
  # Some may end between the list and the signal.
  kill -9 "${pids[@]}" 2> /dev/null || true
  for pid in "${pids[@]}"; do wait_for "process $pid ends" gone "$pid"; done
}

gone() { [ ! -e "/proc/$1" ] || grep -q '^State:.*Z' "/proc/$1/status"; }

# record_action: so that `down` can end what is under way when nobody waits for it any more.
record_action() {
  mkdir -p "$folder"
  echo $$ > "$folder/action.pid"
  trap 'rm -f "$folder/action.pid"' EXIT
}

# end_action: ends an action of this script on this folder that is under way, by the number that it recorded.
end_action() {
  local pid
  pid=$(cat "$folder/action.pid" 2> /dev/null) || return 0
  if [ "$pid" != $$ ] && tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | grep -qF -- " $folder"; then
    kill -9 "$pid" 2> /dev/null || true
    wait_for "process $pid ends" gone "$pid"
  fi
  rm -f "$folder/action.pid"
}

unmount() {
  mountpoint -q "$folder/mnt" || return 0
  umount "$folder/mnt" || umount -l "$folder/mnt"
}

# The mount is there and takes files.
wait_for_mount() {
  wait_for "the mount is there" mountpoint -q "$folder/mnt"
  wait_for "the mount takes files" touch "$folder/mnt/.ready"
  rm -f "$folder/mnt/.ready"
}

# print_processes: a line `name pid` for each process in the namespace. `name_of COMMAND_LINE` prints its name: master-N and
# node-N are those that keep metadata and bytes.
print_processes() {
  local pid line
  for pid in $(namespace_processes); do
    line=$(tr '\0' ' ' < "/proc/$pid/cmdline") || continue
    if [ -n "$line" ]; then echo "$(name_of "$line") $pid"; fi
  done
}

delete_network() {
  end_processes
  if [ -e "/run/netns/$namespace" ]; then ip netns del "$namespace" 2> /dev/null || rm -f "/run/netns/$namespace"; fi
  rm -f "$folder/namespace"
}

# run_action: does what the script was called for, by the function of that name.
run_action() {
  case $action in
    install | version | down) "$action" ;;
    up | restart | lose)
      record_action
      "$action"
      ;;
    processes) print_processes ;;
    *) echo "$peer.sh: $action is none of its actions" >&2; exit 2 ;;
  esac
}
