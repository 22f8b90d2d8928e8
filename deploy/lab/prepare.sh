#!/bin/sh
# Sets a machine up for this checkout. Usage: prepare.sh python|lab|tests|vm ...
#   python  the virtual environment in .venv, exactly as locked
#   lab     Debian packages for the practice fleet of real machines
#   tests   what only the tests need: RabbitMQ, PostgreSQL, libvirt, RediSearch, age, Kerberos
#   vm      Debian packages that only `make long` needs: QEMU below libvirt
# Says what it needs in one line each; what it cannot install it names and goes on, and the
# program that needs it says so again.
set -eu
cd "$(dirname "$0")/../.."

# Asks systemd's and Debian's service starters to leave the new servers alone.
install_packages() {
    missing=""
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "ok installed" ||
            missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "not installed, because that needs root and apt:$missing"
        return 0
    fi
    echo "installing Debian packages:$missing"
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; ours=1; }
    status=0
    { apt-get update && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends $missing; } >build/apt.log 2>&1 || status=$?
    [ -z "${ours:-}" ] || rm -f "$policy"
    if [ "$status" != 0 ]; then
        tail -n 5 build/apt.log
        echo "could not install:$missing (all of it: build/apt.log)"
    fi
}

python_environment() {
    for python in python3 python3.13 python3.12 python3.11; do
        command -v "$python" >/dev/null &&
            "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' && break
        python=""
    done
    [ -n "$python" ] || { echo "Python 3.11 or newer is needed; install it and try again"; exit 1; }
    "$python" -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
    if [ ! -x .venv/bin/uv ]; then
        echo "setting up .venv with $("$python" --version)"
        "$python" -m venv .venv
        .venv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
    fi
    # Compiled once, here: a command that has to do it needs twice its time, also where Python is
    # told to write none, and the lab's machines read these folders and cannot write into them.
    UV_PYTHON="$PWD/.venv/bin/python" .venv/bin/uv sync --quiet --frozen --inexact \
        --compile-bytecode
    .venv/bin/python -m compileall -q orchestrator tasks workers deploy
}

# Compiled here, and for tests without optimisation: that is three times as fast.
kerberos_libraries() {
    .venv/bin/python -c 'import gssapi, krb5' 2>/dev/null && return 0
    echo "compiling Python's Kerberos libraries, once (half a minute)"
    CFLAGS="-O0 -g0" UV_PYTHON="$PWD/.venv/bin/python" .venv/bin/uv sync --quiet --frozen \
        --inexact --extra kerberos >build/kerberos.log 2>&1 ||
        echo "could not compile them; what needs them is skipped (all of it: build/kerberos.log)"
}

mkdir -p build
for part in "$@"; do
    case "$part" in
    python) python_environment ;;
    lab) install_packages systemd-container debootstrap iproute2 openssh-client openssh-server \
        redis-server restic rclone git ;;
    tests) install_packages rabbitmq-server postgresql libvirt-daemon libvirt-clients qemu-utils \
        age shellcheck dash redis-redisearch \
        krb5-kdc krb5-admin-server krb5-user faketime libkrb5-dev gcc python3-dev
        kerberos_libraries ;;
    vm) install_packages libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 \
        qemu-utils ;;
    *) echo "prepare.sh: $part is not one of python, lab, tests, vm"; exit 2 ;;
    esac
done
