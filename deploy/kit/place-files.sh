#!/bin/sh
# Puts a machine's unit files and configuration where they were, with owner and mode.
#
#   sh place-files.sh [-n] MACHINE [UNSEALED]
#
# MACHINE is a folder in machines/. UNSEALED is where unseal.sh put the sealed files: `unsealed` here,
# if not given.
#   -n   only say what would be done
# A file that is there and differs is renamed to NAME.before-kit-TIME.

set -eu
KIT=$(cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=deploy/kit/common.sh
. "$KIT/common.sh"

dry=''
while getopts n option; do
    case $option in
    n) dry=yes ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
case $# in 1 | 2) ;; *) usage ;; esac
machine=$1 unsealed=${2:-$KIT/unsealed}
list=$KIT/machines/$machine/files.txt
[ -f "$list" ] || die "the kit has no files of $machine; it has those of:" "$(ls "$KIT/machines")"
now=$(date -u +%Y%m%dT%H%M%SZ)-$$

# All faults before the first change.
while read -r mode user group kind path; do
    case $kind in
    sealed) from=$unsealed/machines/$machine/files$path ;;
    *) from=$KIT/machines/$machine/files$path ;;
    esac
    [ -f "$from" ] || die "nothing was changed: $from is missing; sh unseal.sh KEY opens it"
    getent passwd "$user" >/dev/null || die "nothing was changed: there is no user $user here;" \
        "install the packages in machines/$machine/packages.txt, or: useradd --system $user"
    getent group "$group" >/dev/null || die "nothing was changed: there is no group $group here"
done <"$list"

while read -r mode user group kind path; do
    case $kind in
    sealed) from=$unsealed/machines/$machine/files$path ;;
    *) from=$KIT/machines/$machine/files$path ;;
    esac
    if cmp -s -- "$from" "$path"; then
        say "$path is as it was"
        continue
    fi
    say "$path, $user:$group, mode $mode"
    [ -z "$dry" ] || continue
    [ -d "$(dirname -- "$path")" ] || (umask 022 && mkdir -p -- "$(dirname -- "$path")")
    if [ -e "$path" ]; then mv -n -T -- "$path" "$path.before-kit-$now"; fi
    cp -- "$from" "$path.kit-new"
    chown -- "$user:$group" "$path.kit-new"
    chmod -- "$mode" "$path.kit-new"
    mv -T -- "$path.kit-new" "$path"
done <"$list"
if [ -z "$dry" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
