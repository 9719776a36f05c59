# Shared by the scripts of this directory; sourced, never run.
# shellcheck shell=bash

set -euo pipefail

ROOT_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly ROOT_DIR
readonly DEBIAN_RELEASE=trixie
readonly BASE_IMAGE=debian:${DEBIAN_RELEASE}-slim
# What this checkout keeps for itself on the machine: lock files, the log of a dockerd that we had to start.
readonly RUN_DIR=/var/run/sidecar-setup
export DEBIAN_FRONTEND=noninteractive

# say <words...>: one line of progress.
say() { printf '==> %s\n' "$*" >&2; }

# fail <what happened> <remedy>: the end, with the way out of it.
fail() {
    printf 'error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '  remedy: %s\n' "$2" >&2
    exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }

have() { command -v "$1" >/dev/null 2>&1; }

# debian_version: "12", "13", ... on Debian; nothing elsewhere.
debian_version() {
    # shellcheck disable=SC1091 # the machine's own file
    (. /etc/os-release 2>/dev/null && [ "${ID:-}" = debian ] && printf '%s' "${VERSION_ID:-}") || true
}

# can_install: we may install packages here: root, on a Debian release that we know.
can_install() {
    is_root || return 1
    case $(debian_version) in 12 | 13) return 0 ;; *) return 1 ;; esac
}

# apt_get <arguments...>: quiet, waits for another apt to finish, shows its output only when it fails.
apt_get() {
    local log status=0
    log=$(mktemp)
    apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" </dev/null >"$log" 2>&1 || status=$?
    [ "$status" -eq 0 ] || tail -n 20 "$log" >&2
    rm -f "$log"
    return "$status"
}

# apt_install <packages...>: without recommended packages (wireguard-tools would bring a kernel).
apt_install() {
    say "installing $*"
    apt_get install --no-install-recommends "$@" 2>/dev/null && return 0
    apt_get update && apt_get install --no-install-recommends "$@" ||
        fail "apt-get could not install: $*" "see apt's words above; try 'apt-get update', then this again"
}

# missing_packages <packages...>: those of them that dpkg does not know as installed.
missing_packages() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s\n' "$package"
    done
}

# wait_for <seconds> <command...>: polls until the command succeeds; false when the time is over.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.3
    done
}

# only_one <name>: waits until no other run of ours does the same job; held until this script ends.
# Children that live on (dockerd) must not inherit it: start them with 9>&-.
only_one() {
    is_root || return 0
    mkdir -p "$RUN_DIR"
    exec 9>"$RUN_DIR/$1.lock"
    flock -w 600 9 || fail "another run of scripts/$1 has not finished in 10 minutes" "wait for it, or end it"
}

# has_endpoints: the user has given endpoints, as files or as variables; without any, the stack runs on mock peers.
has_endpoints() {
    compgen -G "$ROOT_DIR/endpoints/*.conf" >/dev/null ||
        grep -qsE '^[^#]*WIREGUARD_' "$ROOT_DIR/sidecar.env" "$ROOT_DIR/compose.override.yaml"
}
