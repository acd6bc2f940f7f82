# How scripts install packages; to be sourced behind common.sh, not run.
# shellcheck shell=bash

POLICY_FILE=/usr/sbin/policy-rc.d

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# The packages of servers start services, now and at every boot. Only the programs are wanted.
without_services() {
    local placed=0 status=0
    if [ ! -e "$POLICY_FILE" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY_FILE" >/dev/null
        as_root chmod 755 "$POLICY_FILE"
        placed=1
        trap 'as_root rm -f "$POLICY_FILE"' EXIT
    fi
    "$@" || status=$?
    if [ "$placed" -eq 1 ]; then
        as_root rm -f "$POLICY_FILE"
        trap - EXIT
    fi
    return "$status"
}

silence() {
    # A policy that existed before may have let it start.
    as_root service "$1" stop >/dev/null 2>&1 || true
    as_root update-rc.d "$1" disable >/dev/null 2>&1 || say "could not keep $1 from starting at boot: disable the service by hand"
}
