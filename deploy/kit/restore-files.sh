#!/bin/sh
# Restores a snapshot of files from its restic repository into a new folder, and compares every hash.
#
#   sh restore-files.sh -j JOB -p FILE [OPTION]... INTO
#
#   -j JOB         as in files/; its snapshots are tagged with it
#   -p FILE        the file with the repository's password; unseal.sh opens it
#   -r REPOSITORY  where it is now: a folder, sftp:…, s3:… Otherwise where it was
#   -b ID          this backup; otherwise the newest proved one that the repository has
#   -P             also put everything where it was, with owner and mode; what is there is renamed
# INTO is made: it holds the files as they were below `files`, bundles of git repositories (git clone
# FILE.bundle) and consistent copies of databases. With -P as root.

set -eu
KIT=$(cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=deploy/kit/common.sh
. "$KIT/common.sh"

job='' password='' repository='' wanted='' put=''
while getopts j:p:r:b:P option; do
    case $option in
    j) job=$OPTARG ;;
    p) password=$OPTARG ;;
    r) repository=$OPTARG ;;
    b) wanted=$OPTARG ;;
    P) put=yes ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
if [ $# != 1 ] || [ -z "$job" ] || [ -z "$password" ]; then usage; fi
into=$1
[ ! -e "$into" ] || die "$into is there already; name a folder that is not"
[ -f "$password" ] || die "$password is not there; sh unseal.sh KEY opens it"
need restic restic
if [ -z "$repository" ]; then
    [ -f "$KIT/files/$job.sh" ] || die "the kit knows no job $job; see $KIT/files, or give -r"
    REPOSITORY=''
    # shellcheck source=/dev/null
    . "$KIT/files/$job.sh"
    repository=$REPOSITORY
fi
# Whatever ends this, nothing half restored is left.
part=$into.part
trap 'rm -rf -- "$part"' EXIT
trap 'exit 130' HUP INT TERM

restic_run() { restic -r "$repository" --password-file "$password" --no-cache "$@"; }

# Reading takes no lock, so a lock that a crash left keeps nobody from it.
list() {
    mkdir -p -- "$part"
    restic_run snapshots --no-lock --json --tag "$job" >"$part/list" 2>"$part/said" ||
        die "restic: $(grep -i -e fatal -e wrong "$part/said" | tail -n 1)" \
            "(repository $repository, password in $password)"
    # One snapshot on a line.
    tr '}' '\n' <"$part/list" | grep '"id":' >"$part/snapshots" || :
    [ -s "$part/snapshots" ] || die "$repository has no snapshot of $job"
}

# A copy in another repository has an id of its own, and tells the one it is a copy of.
snapshot_of() {
    short=${1##*-}
    grep -e "\"id\":\"$short" -e "\"original\":\"$short" "$part/snapshots" | tail -n 1 |
        sed 's/.*"id":"\([0-9a-f]*\)".*/\1/'
}

choose() {
    snapshot=''
    for id in ${wanted:-$(sed -n "s/^$job \([^ ]*\) .*/\1/p" "$KIT/points.txt")}; do
        snapshot=$(snapshot_of "$id")
        [ -z "$snapshot" ] || break
    done
    if [ -z "$snapshot" ]; then
        [ -z "$wanted" ] || die "$repository has no snapshot $wanted"
        snapshot=$(tail -n 1 "$part/snapshots" | sed 's/.*"id":"\([0-9a-f]*\)".*/\1/')
        id=$job-$(say "$snapshot" | cut -c 1-8)
    fi
    listed=$KIT/manifests/$id.json
    [ -f "$listed" ] || say "note: $id is not in the kit's list: it may never have been proved"
}

fetch() {
    say "restoring $id from $repository"
    restic_run restore --no-lock "$snapshot" --target "$part/tree" >"$part/said" 2>&1 ||
        die "restic: $(tail -n 1 "$part/said"). Nothing was restored; another backup: -b ID"
    top=$(find "$part/tree" -name manifest.json -printf '%d %h\n' | sort -n | head -n 1)
    top=${top#* }
    [ -n "$top" ] || die "$id has no manifest.json, so what it must hold is not known"
    manifest=$top/manifest.json
    if [ -f "$listed" ] && [ "$(field sha256 "$listed")" != "$(sha256_of "$manifest")" ]; then
        die "refused: the manifest of $id is not the one that was proved; use another (-b ID)"
    fi
}

# entries: one line for each, of part, sha256, size, mode, owner, target, place in the snapshot, path;
# between them \001. The manifest has one name on each line, in the order of the letters.
entries() {
    LC_ALL=C awk '
        function byte(n) { return sprintf("%c", n) }
        function utf8(n) {
            if (n < 128) return byte(n)
            # How Python writes a byte that is no UTF-8.
            if (n >= 56448 && n <= 56575) return byte(n - 56320)
            if (n < 2048) return byte(192 + int(n / 64)) byte(128 + n % 64)
            if (n < 65536)
                return byte(224 + int(n / 4096)) byte(128 + int(n / 64) % 64) byte(128 + n % 64)
            return byte(240 + int(n / 262144)) byte(128 + int(n / 4096) % 64) \
                byte(128 + int(n / 64) % 64) byte(128 + n % 64)
        }
        function hex(text,   n, k) {
            n = 0
            for (k = 1; k <= 4; k++)
                n = n * 16 + index("0123456789abcdef", tolower(substr(text, k, 1))) - 1
            return n
        }
        function plain(text,   out, k, c, n) {
            out = ""
            while ((k = index(text, "\\")) > 0) {
                out = out substr(text, 1, k - 1)
                c = substr(text, k + 1, 1)
                text = substr(text, k + 2)
                if (c == "u") {
                    n = hex(text)
                    text = substr(text, 5)
                    if (n >= 55296 && n < 56320 && substr(text, 1, 2) == "\\u") {
                        n = 65536 + (n - 55296) * 1024 + hex(substr(text, 3)) - 56320
                        text = substr(text, 7)
                    }
                    out = out utf8(n)
                } else if (c == "t") out = out "\t"
                else if (c == "n") out = out "\002"
                else out = out c
            }
            return out text
        }
        /^ "entries": /   { inside = 1 }
        /^ \]/            { inside = 0 }
        inside && /^   "[a-z0-9]*": / {
            name = $1
            gsub(/[":]/, "", name)
            value = $0
            sub(/^   "[a-z0-9]*": /, "", value)
            sub(/,$/, "", value)
            if (value ~ /^".*"$/) value = plain(substr(value, 2, length(value) - 2))
            is[name] = value
            if (name == "uid")
                printf "%s\001%s\001%s\001%o\001%s:%s\001%s\001%s\001%s\n", is["part"], \
                    is["sha256"], is["size"], is["mode"], is["uid"], is["gid"], is["target"], \
                    is["at"], is["path"]
        }' "$manifest"
}

# each COMMAND: with the words of each entry as arguments.
each() {
    entries >"$part/entries"
    while IFS="$(printf '\001')" read -r part_ sha256 size mode owner target at path; do
        "$@"
    done <"$part/entries"
}

compare() {
    [ "$part_" != link ] || return 0
    [ -f "$top/$at" ] || die "refused: $path is missing in $id"
    [ "$(size_of "$top/$at") $(sha256_of "$top/$at")" = "$size $sha256" ] ||
        die "refused: $path is not what was backed up, its SHA-256 differs; use another (-b ID)"
    count=$((count + 1))
}

# What was there before stays under its other name, also when this is run twice.
away() {
    if { [ -e "$1" ] || [ -L "$1" ]; } && [ ! -e "$1.before-$id" ] && [ ! -L "$1.before-$id" ]; then
        mv -T -- "$1" "$1.before-$id"
    fi
}

# A folder that is gone comes back with the owner and mode that it had.
folder() {
    [ ! -d "$2" ] || return 0
    folder "$(dirname -- "$1")" "$(dirname -- "$2")"
    mkdir -m 755 -- "$2"
    if [ -d "$1" ]; then
        chown --reference="$1" -- "$2"
        chmod --reference="$1" -- "$2"
    fi
}

place() {
    case $part_ in
    link)
        folder "$into/files$(dirname -- "$path")" "$(dirname -- "$path")"
        away "$path"
        ln -s -f -n -- "$target" "$path"
        ;;
    file | database)
        folder "$(dirname -- "$into/$at")" "$(dirname -- "$path")"
        if [ "$part_" = database ]; then
            # Beside the old ones of another moment, it would be read as damaged.
            for end in -wal -shm -journal; do away "$path$end"; done
        fi
        cp -T -- "$into/$at" "$path.new"
        chown -- "$owner" "$path.new"
        chmod -- "$mode" "$path.new"
        away "$path"
        mv -f -T -- "$path.new" "$path"
        ;;
    *) say "$path: by hand, from $into/$at" ;;
    esac
}

list
choose
fetch
count=0
each compare
files=$(find "$top" -type f ! -path "$manifest" | wc -l)
[ "$files" = "$count" ] || die "refused: $id has $files files, and its manifest names $count"
chmod 700 "$top"
mv -T -- "$top" "$into"
manifest=$into/manifest.json
say "$into holds $id: $count files, each with the SHA-256 that it was backed up with"
[ -n "$put" ] || exit 0
each place
say "done: everything is where it was; what was there is renamed to NAME.before-$id"
