#!/bin/sh
# Puts a proved backup in the place of what a Redis has now. What is there is renamed and kept.
#
#   sh restore-redis.sh [OPTION]... FOLDER
#
# FOLDER holds backups of that Redis, or is one itself (dump.rdb and manifest.json).
#   -s NAME          the service, as in services/; not needed when there is only one
#   -b ID            this backup; otherwise the newest proved one that is in FOLDER
#   -t               only test it: load it in a scratch server, and stop there
#   -d DATA          the folder of the server's data
#   -u UNIT          its systemd unit; `none`: it is down, and you start it yourself
#   -o USER:GROUP    whose the data is
#   -a yes|no        whether append-only is on
#   -h ADDRESS       where it answers afterwards, instead of the address in services/
#   -p FILE          a file with its password
# What is not given is as it was on the machine that the backup is of.

set -eu
KIT=$(cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=deploy/kit/common.sh
. "$KIT/common.sh"

name='' wanted='' only_test='' data='' unit='' owner='' append_only='' address='' password=''
while getopts s:b:td:u:o:a:h:p: option; do
    case $option in
    s) name=$OPTARG ;;
    b) wanted=$OPTARG ;;
    t) only_test=yes ;;
    d) data=$OPTARG ;;
    u) unit=$OPTARG ;;
    o) owner=$OPTARG ;;
    a) append_only=$OPTARG ;;
    h) address=$OPTARG ;;
    p) password=$OPTARG ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# = 1 ] || usage
[ -d "$1" ] || die "$1 is no folder; name the one that holds the backups"
folder=$(cd -- "$1" && pwd)
service "$name"
redis_programs

# Which backup, and what it must be. The kit's own list is believed first: whoever changes a dump
# can change the manifest beside it too.
choose() {
    if [ -f "$folder/dump.rdb" ]; then
        backup=$folder
        id=$(field id "$folder/manifest.json")
        [ -z "$wanted" ] || [ "$wanted" = "$id" ] || die "$folder is $id, not $wanted"
    else
        id=$wanted
        [ -n "$id" ] || id=$(sed -n "s/^$SERVICE //p" "$KIT/points.txt" |
            while read -r each _; do
                [ -z "$(place_of "$each")" ] || echo "$each"
            done | head -n 1)
        [ -n "$id" ] || id=$(newest_by_manifest)
        [ -n "$id" ] || die "there is no proved backup in $folder; it should hold one of:" \
            "$(sed -n "s/^$SERVICE \([^ ]*\) .*/\1/p" "$KIT/points.txt" | head -n 5 | tr '\n' ' ')"
        backup=$(place_of "$id")
        [ -n "$backup" ] || die "$id is not in $folder"
    fi
    listed=$KIT/manifests/$id.json
    if [ ! -f "$listed" ]; then
        listed=$backup/manifest.json
        [ -f "$listed" ] || die "$listed is missing: what this dump must be is not known"
        state=$(field state "$listed")
        [ "$state" = verified ] || die "$id is $state; only a proved backup is restored"
        say "note: $id is not in the kit's list, so only the manifest beside it vouches for it"
    fi
    size=$(field size_bytes "$listed") sha256=$(field sha256 "$listed")
    keys=$(field total "$listed")
    [ -n "$keys" ] || keys=$(field source_keys "$listed")
}

# Restored from a repository, it lies deeper.
place_of() {
    there=$(find "$folder" -path "*/$1/dump.rdb" | head -n 1)
    [ -z "$there" ] || dirname -- "$there"
}

newest_by_manifest() {
    find "$folder" -path '*/redis-*/manifest.json' | while read -r each; do
        [ "$(field state "$each")" != verified ] || basename -- "$(dirname -- "$each")"
    done | sort | tail -n 1
}

# Everything that could speak against it, before anything is touched.
prove() {
    say "testing $backup"
    [ "$(size_of "$backup/dump.rdb")" = "$size" ] ||
        die "refused, nothing was changed: $backup/dump.rdb has $(size_of "$backup/dump.rdb")" \
            "bytes, its manifest says $size"
    [ "$(sha256_of "$backup/dump.rdb")" = "$sha256" ] ||
        die "refused, nothing was changed: $backup/dump.rdb is not what was proved, its SHA-256" \
            "differs from the one in $listed; use another backup (-b ID)"
    scratch_begin
    ln -s -- "$backup/dump.rdb" "$scratch/dump.rdb"
    "$CHECK_RDB" "$scratch/dump.rdb" >"$scratch/check" 2>&1 ||
        die "refused, nothing was changed: $CHECK_RDB: $(tail -n 1 "$scratch/check")"
    scratch_load --appendonly no
    found=$(loaded_keys)
    [ "$found" = "$keys" ] ||
        die "refused, nothing was changed: $found keys were loaded, and the backup holds $keys"
    digest=$("$CLI" -s "$scratch/s" DEBUG DIGEST)
    scratch_end
    say "it holds $keys keys, all of them were loaded; DEBUG DIGEST $digest"
}

# ask WORD...: to the server itself. The password goes by the environment, where no list shows it.
ask() {
    if [ -f "$password" ]; then
        REDISCLI_AUTH=$(cat -- "$password")
        export REDISCLI_AUTH
    fi
    timeout 10 "$CLI" -h "$address" -p "$PORT" "$@" 2>/dev/null | tr -d '\r'
}

is_append_only() {
    [ -z "$append_only" ] || return 0
    append_only=$APPENDONLY
    # The configuration of this machine counts, should it have been changed since.
    if [ -f "${CONFIG:-}" ]; then
        said=$(sed -n 's/^ *appendonly  *"\{0,1\}\([a-z]*\).*/\1/p' "$CONFIG" | tail -n 1)
        append_only=${said:-$append_only}
    fi
    if [ "$(ask CONFIG GET appendonly | tail -n 1)" = yes ]; then append_only=yes; fi
}

# The new data, complete and on the disk, beside the old.
make_ready() {
    user=${owner%:*} group=${owner#*:}
    getent passwd "$user" >/dev/null || die "nothing was changed: there is no user $user here;" \
        "install ${PACKAGE:-redis-server}, or give -o USER:GROUP"
    if [ ! -d "$data" ]; then
        mkdir -p -- "$data"
        chmod -- "$FOLDER_MODE" "$data"
        chown -- "$owner" "$data"
    fi
    incoming=$data/.restore-$now kept=$data/pre-restore-$now
    # What a killed restore left: copies of a backup, and nothing else.
    rm -rf -- "$data"/.restore-*
    mkdir -- "$incoming" "$kept"
    cp -- "$backup/dump.rdb" "$incoming/$DBFILENAME" ||
        give_up "nothing was changed: $backup could not be copied to $data; make room there"
    [ "$(sha256_of "$incoming/$DBFILENAME")" = "$sha256" ] ||
        give_up "nothing was changed: the copy in $data is not what was proved; is the disk sound?"
    if [ "$append_only" = yes ]; then
        log=$incoming/$APPENDDIRNAME
        mkdir -- "$log"
        # One file under two names: Redis replaces its files and never writes into them.
        ln -- "$incoming/$DBFILENAME" "$log/$APPENDFILENAME.1.base.rdb"
        say "file $APPENDFILENAME.1.base.rdb seq 1 type b" >"$log/$APPENDFILENAME.manifest"
        chmod -- "$FOLDER_MODE" "$log"
        chmod -- "$FILE_MODE" "$log/$APPENDFILENAME.manifest"
    fi
    chmod -- "$FILE_MODE" "$incoming/$DBFILENAME"
    chown -R -- "$user:$group" "$incoming"
    ! command -v restorecon >/dev/null 2>&1 || restorecon -R -- "$incoming"
    find "$incoming" | while read -r each; do flush "$each"; done
}

unit_says() { systemctl show --property="$1" -- "$unit" | sed -n "s/^$1=//p"; }

# Stopped first: a server saves over its own dump when it ends.
stop() {
    [ "$unit" != none ] || return 0
    if [ -f "$data/$DBFILENAME" ]; then
        ln -- "$data/$DBFILENAME" "$kept/$DBFILENAME.before-stop"
    fi
    say "stopping $unit"
    refusal="$unit does not stop, so its data was left alone"
    systemctl stop -- "$unit" || give_up "$refusal"
    case $(unit_says ActiveState) in
    inactive | failed) ;;
    *) give_up "$refusal" ;;
    esac
}

give_up() {
    rm -rf -- "$incoming"
    rm -f -- "$kept/$DBFILENAME.before-stop"
    rmdir -- "$kept"
    die "$1"
}

exchange() {
    say "keeping what is there in $kept"
    for each in "$DBFILENAME" "$APPENDDIRNAME" "$APPENDFILENAME"; do
        [ ! -e "$data/$each" ] || mv -n -T -- "$data/$each" "$kept/$each"
        [ ! -e "$data/$each" ] || die "$data/$each could not be moved to $kept"
    done
    for each in "$DBFILENAME" "$APPENDDIRNAME"; do
        [ ! -e "$incoming/$each" ] || mv -n -T -- "$incoming/$each" "$data/$each"
    done
    flush "$data" "$kept"
    rmdir -- "$incoming"
    # Where nothing was, nothing is kept.
    rmdir -- "$kept" 2>/dev/null || :
}

start() {
    say "starting $unit"
    endless yes
    status=0
    systemctl start -- "$unit" || status=$?
    endless no
    [ "$status" = 0 ] || die "$unit does not start; see: journalctl -n 50 -u $unit. $(back)"
}

# Loading takes as long as it takes: systemd must not kill it for that.
endless() {
    [ "$(unit_says Type)" = notify ] || return 0
    drop_in=/run/systemd/system/${unit%.service}.service.d
    if [ "$1" = yes ]; then
        (umask 022 && mkdir -p -- "$drop_in" &&
            printf '[Service]\nTimeoutStartSec=infinity\n' >"$drop_in/90-recovery-kit.conf")
    else
        rm -f -- "$drop_in/90-recovery-kit.conf"
        rmdir -- "$drop_in" 2>/dev/null || :
    fi
    systemctl daemon-reload
}

# Done means that the server itself says so.
count() {
    tries=0
    until said=$(ask INFO persistence) && [ "$(value loading)" = 0 ]; do
        tries=$((tries + 1))
        [ "$tries" -le 600 ] || die "$unit runs, and does not answer at $address port $PORT as" \
            "loaded; where it listens elsewhere give -h, for a password -p. $(back)"
        sleep 1
    done
    loaded=$(($(value rdb_last_load_keys_loaded) + $(value rdb_last_load_keys_expired)))
    [ "$loaded" = "$keys" ] ||
        die "it loaded $loaded keys, and the backup holds $keys. $(back)"
    say "done: $unit loaded all $keys keys of $id. $(back)"
}

value() { say "$said" | sed -n "s/^$1://p"; }

back() {
    [ -d "$kept" ] || return 0
    say "What was there is in $kept; to have it back, stop $unit, move $DBFILENAME and" \
        "$APPENDDIRNAME of $data elsewhere, move those in $kept back, and start $unit."
}

choose
prove
[ -z "$only_test" ] || exit 0
data=${data:-$DATA} unit=${unit:-$UNIT} owner=${owner:-$OWNER} address=${address:-$ADDRESS}
password=${password:-$PASSWORD_FILE}
case $data in
/ | [!/]* | '') die "nothing was changed: where its data is, is not known; give -d DATA" ;;
esac
now=$(date -u +%Y%m%dT%H%M%SZ)-$$
is_append_only
case "$append_only $("$SERVER" --version)" in
yes*v=[1-6].*) die "nothing was changed: with append-only on, Redis 7 or newer is needed" ;;
esac
if [ "$unit" != none ]; then
    [ "$(unit_says LoadState)" = loaded ] ||
        die "nothing was changed: there is no unit $unit here; put the machine's files in place" \
            "first (sh place-files.sh $MACHINE), or give -u UNIT or -u none"
fi
make_ready
stop
exchange
if [ "$unit" = none ]; then
    say "done: $data holds $id. Start the server, and see that it loads $keys keys. $(back)"
    exit 0
fi
start
count
