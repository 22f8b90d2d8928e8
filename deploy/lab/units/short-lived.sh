#!/bin/sh
# Runs a command that dies SECONDS after its start. Usage: short-lived.sh SECONDS COMMAND...
# The command becomes the main process; what kills it stays beside it and speaks in its name.
set -eu
seconds=$1
shift
{
    sleep "$seconds"
    echo "fatal: out of file handles, giving up" >&2
    kill -KILL $$
} &
exec "$@"
