#!/bin/sh
# Opens the sealed files of this kit with an age key, into a folder that only you can enter.
#
#   sh unseal.sh KEY [INTO]
#
# KEY is the file with the private key of one of those in recipients.txt (an age key, or an SSH key
# where that was named). INTO is `unsealed` here, if not given. Remove it when all is restored.

set -eu
KIT=$(cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=deploy/kit/common.sh
. "$KIT/common.sh"

case $# in 1 | 2) ;; *) usage ;; esac
need age age
key=$1 into=${2:-$KIT/unsealed}
[ -f "$key" ] || die "$key is not there; name the file of a private key"
[ -d "$KIT/sealed" ] || die "nothing is sealed in this kit"
mkdir -p -- "$into"
find "$KIT/sealed" -type f -name '*.age' | while read -r sealed; do
    path=${sealed#"$KIT/sealed/"}
    path=$into/${path%.age}
    mkdir -p -- "$(dirname -- "$path")"
    if ! said=$(age -d -i "$key" -o "$path.new" "$sealed" 2>&1); then
        rm -f -- "$path.new"
        die "$key does not open $sealed ($(say "$said" | head -n 1))." \
            "This kit is sealed for, and one of these keys is needed: $(tr '\n' ';' \
                <"$KIT/recipients.txt")"
    fi
    mv -f -- "$path.new" "$path"
    say "$path"
done
