#!/bin/sh
# Boot this machine's own Debian a second time, in a container that cannot change it:  unshare --mount boot.sh FOLDER ARGUMENT...
# The arguments go to systemd-nspawn. What the container writes lies in memory, and goes with this process and its mount namespace.
set -eu
folder=$1
shift

mount -t tmpfs -o size=4g,mode=755 box "$folder"
mkdir "$folder/written" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/written,workdir=$folder/work" box "$folder/root"
root=$folder/root

# A machine of its own, where nothing starts that packages enabled on this one.
: > "$root/etc/machine-id"
rm -rf "$root"/etc/systemd/system/*.wants

# A checkout or an environment may lie on a disk that the overlay does not see.
mkdir -p "$root/opt/source" "$folder/source-written" "$folder/source-work"
mount -t overlay -o "lowerdir=$SOURCE,upperdir=$folder/source-written,workdir=$folder/source-work" box "$root/opt/source"

# The control groups of today, also where this machine still has those of version 1: device rules and the rest are then enforced.
mount -t cgroup2 box /sys/fs/cgroup
group=/sys/fs/cgroup/box-$$
mkdir "$group"
trap 'find "$group" -depth -type d -exec rmdir {} +' EXIT

# SIGTERM means: shut down in order.
sh -c 'echo $$ > "$1/cgroup.procs" && shift && exec systemd-nspawn "$@"' sh "$group" --directory="$root" "$@" &
trap 'kill "$!"' TERM
wait "$!" || wait "$!"
