#!/usr/bin/env bash
# Two hosts on one machine, joined by a cable: networks of their own, and one clock is ahead.
#
#   unshare --net two_hosts.sh AHEAD_S OUTLETS COMMAND…
#
# OUTLETS is a command line for the other host, COMMAND one for this. As root.
set -eu
ahead=$1 outlets=$2
shift 2
ip link set lo up
ip link add here type veth peer name there
unshare --net sleep 300 > /dev/null 2>&1 &
other=$!
trap 'kill -9 "$other" $(jobs -p) 2> /dev/null || true' EXIT
net=/proc/$other/ns/net
until [ "$(readlink "$net")" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.05; done
ip link set there netns "$net"
ip addr add 10.77.0.1/24 dev here
ip link set here up
ip route add default dev here
nsenter --net="$net" bash -c 'ip link set lo up; ip addr add 10.77.0.2/24 dev there
    ip link set there up; ip route add default dev there'
# The outlets end when what they read does, or with this shell.
nsenter --net="$net" unshare --uts --time --monotonic "$ahead" --fork --kill-child \
    bash -c 'hostname other; exec bash -c "$1"' _ "$outlets" < <(exec sleep 120 2> /dev/null) > /dev/null &
"$@"
