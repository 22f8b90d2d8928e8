# shellcheck shell=sh disable=SC2034
# What the scripts of this kit share: complaints, the kit's own lists, and a scratch server of Redis
# that loads data where it can harm nobody. Not run by itself. Plain POSIX sh with what Debian always
# has, because nothing else may be left.

umask 077

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

say() { printf '%s\n' "$*"; }

# need PROGRAM PACKAGE
need() {
    command -v "$1" >/dev/null 2>&1 || die "$1 is missing; install it with: apt-get install $2"
}

# The words of a comment at the head of the script that runs.
usage() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# field NAME FILE: a value of our own JSON, which has one name on each line.
field() {
    sed -n 's/^ *"'"$1"'": "\{0,1\}\([^",]*\)"\{0,1\},\{0,1\}$/\1/p' "$2" | head -n 1
}

# flush PATH...: to the disk; where sync takes no names, everything.
flush() { sync -- "$@" 2>/dev/null || sync; }

sha256_of() { sha256sum <"$1" | cut -d ' ' -f 1; }

size_of() { stat -L -c %s -- "$1"; }

# service [NAME]: reads what is known of the service; without a name, of the only one.
service() {
    if [ -z "${1:-}" ]; then
        set -- "$KIT"/services/*.sh
        [ -e "$1" ] || die "the kit knows no Redis: $KIT/services is empty"
        [ $# = 1 ] || die "which service? Give -s NAME, one of: $(cd "$KIT/services" && echo *.sh)"
        set -- "$(basename -- "$1" .sh)"
    fi
    SERVICE=$1
    [ -f "$KIT/services/$1.sh" ] || die "the kit knows no service $1; see $KIT/services"
    # shellcheck source=/dev/null
    . "$KIT/services/$1.sh"
}

# The programs of the installation that the data comes from, or those of this machine.
redis_programs() {
    beside=$(dirname -- "${SERVER:-redis-server}")
    if [ ! -x "${SERVER:-}" ]; then
        SERVER=redis-server beside=''
        command -v redis-server >/dev/null 2>&1 || die "redis-server is missing; install it with:" \
            "apt-get install ${PACKAGE:-redis-server} (the data is of Redis ${VERSION:-7})"
    fi
    CLI=redis-cli CHECK_AOF=redis-check-aof CHECK_RDB=redis-check-rdb
    for program in "$CLI" "$CHECK_AOF" "$CHECK_RDB"; do
        [ ! -x "$beside/$program" ] || continue
        need "$program" redis-tools
        beside=''
    done
    if [ -n "$beside" ]; then
        CLI=$beside/$CLI CHECK_AOF=$beside/$CHECK_AOF CHECK_RDB=$beside/$CHECK_RDB
    fi
}

# scratch_begin: an empty folder in $scratch, gone with its server when the script ends.
# What a script that was killed has left goes first.
scratch_begin() {
    for scratch in "${TMPDIR:-/var/tmp}"/kit.*; do
        left_by=$(cat "$scratch/pid_of_script" 2>/dev/null || :)
        if [ -n "$left_by" ] && ! kill -0 "$left_by" 2>/dev/null; then scratch_end; fi
    done
    scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/kit.XXXXXXXX")
    echo $$ >"$scratch/pid_of_script"
    trap scratch_end EXIT
    trap 'exit 130' HUP INT TERM
}

scratch_end() {
    if [ -n "${scratch:-}" ]; then
        [ ! -f "$scratch/pid" ] || kill -KILL "$(cat "$scratch/pid")" 2>/dev/null || :
        rm -rf -- "$scratch"
        scratch=''
    fi
}

# scratch_load OPTION...: a server on a socket of its own that has loaded what is in $scratch.
scratch_load() {
    old_ifs=$IFS
    IFS='
'
    for module in ${MODULES:-}; do
        IFS=' '
        # shellcheck disable=SC2086
        set -- "$@" --loadmodule $module
        [ -e "${module%% *}" ] || die "the module ${module%% *} is missing: the data cannot be" \
            "loaded without; install ${MODULE_PACKAGES:-the package that it is in}"
    done
    IFS=$old_ifs
    case $("$SERVER" --version) in
    *v=[1-6].*) ;;
    *) set -- "$@" --enable-debug-command yes ;;
    esac
    "$SERVER" --port 0 --unixsocket "$scratch/s" --unixsocketperm 700 --dir "$scratch" \
        --dbfilename dump.rdb --save '' --maxmemory 0 --databases 1024 --daemonize yes \
        --pidfile "$scratch/pid" --logfile "$scratch/log" "$@" ||
        die "$SERVER does not start: $(tail -n 1 "$scratch/log" 2>/dev/null)"
    tries=0
    while [ "$(scratch_info loading)" != 0 ]; do
        pid=$(cat "$scratch/pid" 2>/dev/null || :)
        tries=$((tries + 1))
        if [ -n "$pid" ] && ! kill -0 "$pid" 2>/dev/null; then scratch_died; fi
        if [ -z "$pid" ] && [ "$tries" -gt 100 ]; then scratch_died; fi
        sleep 0.1
    done
    "$CLI" -s "$scratch/s" DEBUG SET-ACTIVE-EXPIRE 0 >/dev/null
}

scratch_died() {
    die "a scratch server could not load it, so nothing was changed:" \
        "$(grep ' # ' "$scratch/log" | grep -v WARNING | tail -n 2 | tr '\n' ' ')"
}

# scratch_info NAME
scratch_info() {
    "$CLI" -s "$scratch/s" INFO 2>/dev/null | tr -d '\r' | sed -n "s/^$1://p"
}

# loaded_keys: those that the scratch server read at its start, the expired ones included.
loaded_keys() {
    echo "$(($(scratch_info rdb_last_load_keys_loaded) + $(scratch_info rdb_last_load_keys_expired)))"
}
