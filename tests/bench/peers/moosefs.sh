#!/usr/bin/env bash
# MooseFS on this machine, to compare with: a master and three chunk servers, goal 3 (three copies), mounted at FOLDER/mnt.
#
#   moosefs.sh install            install it if it is missing (Debian, Ubuntu)
#   moosefs.sh version            say which it is
#   moosefs.sh up FOLDER          start it on new folders, mount it
#   moosefs.sh restart FOLDER     restart the master, the chunk servers and the mount
#   moosefs.sh lose FOLDER        kill two chunk servers
#   moosefs.sh processes FOLDER   a line `name pid` for each process
#   moosefs.sh down FOLDER        stop all of it and remove its data, whatever is there of it
#
# Its syncs are on, which they are not as installed: the chunk servers sync before they close a chunk, the master syncs its
# change log. Needs root.
set -euo pipefail

action=${1:?install, version, up, restart, lose, processes or down}
peer=moosefs
address=10.213.78.1
server_count=3
first_port=9531
# shellcheck source=namespace.sh
source "$(dirname "$0")/namespace.sh"
if [ "$action" != install ] && [ "$action" != version ]; then folder=$(realpath -m -- "${2:?a folder}"); fi

install() {
  install_packages moosefs-master mfsmaster mfschunkserver mfsmount -- moosefs-master moosefs-chunkserver moosefs-client
}

version() { mfsmaster -v 2>&1 | sed -nE 's/^version: *([^ ;]+).*/moosefs \1/p'; }

write_master_configuration() {
  mkdir -p "$folder/master"
  cp /var/lib/mfs/metadata.mfs.empty "$folder/master/metadata.mfs"
  echo '* / rw,alldirs,admin,maproot=0:0' > "$folder/exports.cfg"
  : > "$folder/topology.cfg"
  cat > "$folder/master.cfg" << END
WORKING_USER = root
WORKING_GROUP = root
DATA_PATH = $folder/master
EXPORTS_FILENAME = $folder/exports.cfg
TOPOLOGY_FILENAME = $folder/topology.cfg
MATOML_LISTEN_HOST = $address
MATOCS_LISTEN_HOST = $address
MATOCL_LISTEN_HOST = $address
CHANGELOG_SAVE_MODE = 2
END
}

# write_server_configuration NUMBER
write_server_configuration() {
  local server=$folder/server-$1
  mkdir -p "$server/data" "$server/chunks"
  echo "$server/chunks" > "$server/hdd.cfg"
  cat > "$server/server.cfg" << END
WORKING_USER = root
WORKING_GROUP = root
DATA_PATH = $server/data
HDD_CONF_FILENAME = $server/hdd.cfg
MASTER_HOST = $address
BIND_HOST = $address
CSSERV_LISTEN_HOST = $address
CSSERV_LISTEN_PORT = $((first_port + $1))
HDD_LEAVE_SPACE_DEFAULT = 1GiB
HDD_FSYNC_BEFORE_CLOSE = 1
END
}

# A file that is written now gets its three copies.
all_servers_there() {
  local copies
  echo ready > "$folder/mnt/.ready"
  copies=$(in_namespace mfsfileinfo "$folder/mnt/.ready" | grep -c 'copy ' || true)
  [ "$copies" -eq "$server_count" ]
}

start_daemons() {
  local number
  in_namespace mfsmaster -c "$folder/master.cfg" start
  for number in $(seq "$server_count"); do in_namespace mfschunkserver -c "$folder/server-$number/server.cfg" start; done
  mkdir -p "$folder/mnt"
  wait_for "the master takes a mount" in_namespace mfsmount "$folder/mnt" -H "$address"
  wait_for_mount
  in_namespace mfssetgoal -r "$server_count" "$folder/mnt"
  wait_for "all chunk servers are there" all_servers_there
  rm -f "$folder/mnt/.ready"
}

up() {
  local number
  make_network
  write_master_configuration
  for number in $(seq "$server_count"); do write_server_configuration "$number"; done
  start_daemons
}

restart() {
  local number
  unmount
  for number in $(seq "$server_count"); do
    in_namespace mfschunkserver -c "$folder/server-$number/server.cfg" stop || true
  done
  in_namespace mfsmaster -c "$folder/master.cfg" stop
  end_processes
  start_daemons
}

lose() {
  end_processes "$folder/server-2/"
  end_processes "$folder/server-3/"
}

name_of() {
  case $1 in
    mfsmaster* | */mfsmaster*) echo master-1 ;;
    *"$folder/server-"*) sed -E "s|.*$folder/server-([0-9]+)/.*|node-\1|" <<< "$1" ;;
    *) echo other ;;
  esac
}

down() {
  end_action
  unmount
  delete_network
  rm -rf "$folder"/server-* "$folder/master" "$folder"/*.cfg
}

run_action
