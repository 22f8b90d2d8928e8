#!/bin/sh
# Makes a backup of any second of a captured history; restore-redis.sh then restores it.
#
#   sh restore-history.sh [-s NAME] [-t TIME] HISTORY NEW
#
# HISTORY is a folder history-NUMBER-TIME-ID; NEW is the folder that is made.
#   -t TIME   the last second to be in it, such as 2026-11-28T14:03:20Z; otherwise all is
#   -s NAME   the service, as in services/; not needed when there is only one
# A mass delete at 14:03:21 is undone with the second before it. HISTORY is only read.

set -eu
KIT=$(cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=deploy/kit/common.sh
. "$KIT/common.sh"

name='' at=''
while getopts s:t: option; do
    case $option in
    s) name=$OPTARG ;;
    t) at=$(date -u -d "$OPTARG" +%s) || die "$OPTARG is no time such as 2026-11-28T14:03:20Z" ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# = 2 ] || usage
[ -f "$1/history.json" ] || die "$1 is no captured history: it has no history.json"
history=$(cd -- "$1" && pwd) new=$2
[ ! -e "$new" ] || die "$new is there already; name a folder that is not"
log=$history/appendonlydir
service "$name"
redis_programs

# The base and each sealed segment by their hashes; each hash covers all before it.
check_chain() {
    say "checking $history"
    before=$(field base_sha256 "$history/history.json")
    [ "$(sha256_of "$log/appendonly.aof.1.base.rdb")" = "$before" ] ||
        die "refused: $log/appendonly.aof.1.base.rdb is not the dump that was received"
    [ -f "$history/chain.jsonl" ] || return 0
    while read -r line; do
        number=$(in_line number)
        [ "$number" -le "$kept" ] || break
        sha256=$(in_line sha256) chain=$(in_line chain)
        before=$(printf '%s%s' "$before" "$sha256" | sha256sum | cut -d ' ' -f 1)
        [ "$chain" = "$before" ] ||
            die "refused: $history/chain.jsonl: segment $number does not follow the one before"
        [ "$(sha256_of "$log/appendonly.aof.$number.incr.aof")" = "$sha256" ] ||
            die "refused: $log/appendonly.aof.$number.incr.aof is not what was sealed"
    done <"$history/chain.jsonl"
}

in_line() {
    say "$line" | sed -n 's/.*"'"$1"'": "\{0,1\}\([^",}]*\).*/\1/p'
}

# How many segments begin no later than the second wanted. What comes later may be damaged.
choose() {
    count=$(grep -c ' type i$' "$log/appendonly.aof.manifest" || :)
    kept=0
    while [ "$kept" -lt "$count" ]; do
        next=$log/appendonly.aof.$((kept + 1)).incr.aof
        first=$(head -n 1 -- "$next" | sed -n 's/^#TS:\([0-9]*\).*/\1/p')
        if [ -n "$at" ] && [ "${first:-0}" -gt "$at" ]; then break; fi
        kept=$((kept + 1))
    done
    [ "$kept" -gt 0 ] || die "$history begins after the time wanted; use an older one"
}

# Those segments; the last one is cut, in a copy.
cut_log() {
    into=$scratch/appendonlydir
    mkdir -- "$into"
    ln -s -- "$log/appendonly.aof.1.base.rdb" "$into/"
    say 'file appendonly.aof.1.base.rdb seq 1 type b' >"$into/appendonly.aof.manifest"
    number=1
    while [ "$number" -le "$kept" ]; do
        segment=appendonly.aof.$number.incr.aof
        say "file $segment seq $number type i" >>"$into/appendonly.aof.manifest"
        if [ "$number" = "$kept" ]; then
            cp -- "$log/$segment" "$into/"
        else
            ln -s -- "$log/$segment" "$into/"
        fi
        number=$((number + 1))
    done
    [ -n "$at" ] || return 0
    # A command that is cut off at the very end, in the open segment, is left out by the server
    # itself when it loads; damage anywhere else makes that loading fail.
    "$CHECK_AOF" --truncate-to-timestamp "$at" "$into/appendonly.aof.manifest" \
        >"$scratch/check" 2>&1 || grep -q 'is not valid' "$scratch/check" ||
        die "$CHECK_AOF: $(tail -n 1 "$scratch/check")"
}

# databases: as the manifest has them, from db0:keys=3,expires=1,avg_ttl=0.
databases() {
    "$CLI" -s "$scratch/s" INFO keyspace | tr -d '\r' | sed -n \
        's/^db\([0-9]*\):keys=\([0-9]*\),expires=\([0-9]*\).*/"\1": {"keys": \2, "volatile": \3},/p' |
        tr '\n' ' ' | sed 's/, $//'
}

count_keys() {
    sum=0
    for each in $("$CLI" -s "$scratch/s" INFO keyspace | sed -n 's/^db.*:keys=\([0-9]*\).*/\1/p'); do
        sum=$((sum + each))
    done
    echo "$sum"
}

# As `autobot-dr` writes it, so that both can restore it.
write_manifest() {
    cat <<END
{
 "checksummed": true,
 "contents": {
  "databases": {$(databases)},
  "functions": $(scratch_info number_of_functions),
  "patterns": {},
  "samples": {},
  "total": $keys
 },
 "covers_until": ${at:-$(date +%s)},
 "id": "$(basename -- "$new")",
 "module_files": [],
 "modules": [],
 "rdb_version": $(head -c 9 "$new.making/dump.rdb" | tail -c 4 | sed 's/^0*//'),
 "redis_version": "$(scratch_info redis_version)",
 "replid": "$(field replid "$history/history.json")",
 "sha256": "$(sha256_of "$new.making/dump.rdb")",
 "size_bytes": $(size_of "$new.making/dump.rdb"),
 "source": "by $history",
 "state": "verified",
 "taken_at": $(date +%s),
 "version": 1
}
END
}

choose
check_chain
scratch_begin
cut_log
scratch_load --appendonly yes --auto-aof-rewrite-percentage 0
keys=$(count_keys)
[ "$("$CLI" -s "$scratch/s" SAVE)" = OK ] || die "the scratch server could not save; is the disk full?"
mkdir -- "$new.making"
cp -- "$scratch/dump.rdb" "$new.making/dump.rdb"
write_manifest >"$new.making/manifest.json"
flush "$new.making/dump.rdb" "$new.making/manifest.json"
mv -T -- "$new.making" "$new"
digest=$("$CLI" -s "$scratch/s" DEBUG DIGEST)
until='the end'
if [ -n "$at" ]; then until=$(date -u -d "@$at" +%Y-%m-%dT%H:%M:%SZ); fi
say "$new holds $keys keys, as of $until; DEBUG DIGEST $digest"
say "restore it with: sh $KIT/restore-redis.sh -s $SERVICE $new"
