#!/bin/sh
# Installs @TITLE@ on this host.
#
#   install.sh [--from URL|FOLDER] [--root FOLDER] [--check] [ROLE]...
#
# It does three things, and says so:
#   1. It downloads two files: `store`, one static program, and manifest.json. Their SHA-256 stand below, and
#      manifest.json holds the digest of everything else.
#   2. `store preflight` tells all that this host lacks; until then nothing is changed, and --check stops there.
#      `store install` fetches the packages that these roles need and this host has not, and checks every byte.
#   3. `store activate` puts them to use in one step. When that fails, what was active before is active again.
#
# Run again, it goes on where it was stopped, and changes nothing when all is done. Beside a shell it needs coreutils
# (busybox will do), and curl or wget unless the files lie in a folder, which may be the one this script lies in.
# STORE_FROM and STORE_ROOT in the environment stand for --from and --root.
set -eu
umask 022

machine=@MACHINE@
artifact=@ARTIFACT@
url=@URL@
store_sha256=@STORE_SHA256@
manifest_sha256=@MANIFEST_SHA256@
from=${STORE_FROM:-}
root=${STORE_ROOT:-@PREFIX@}
attempts=${STORE_ATTEMPTS:-8}

say() { printf 'install.sh: %s\n' "$*"; }
die() { say "error: $*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
usage() { die "usage: install.sh [--from URL|FOLDER] [--root FOLDER] [--check] [ROLE]..."; }

# Whether the file $1 is there and has the SHA-256 $2.
is() { [ -f "$1" ] && [ "$(sha256sum <"$1" | cut -d ' ' -f 1)" = "$2" ]; }

size() { if [ -f "$1" ]; then wc -c <"$1"; else echo 0; fi; }

# Writes what lies at $1 to the file $2; what that holds already is not asked for again.
get() {
    case $1 in
        *://*) ;;
        *) cp "$1" "$2"; return ;;
    esac
    if has curl; then
        curl -fsSL -C - --connect-timeout 30 --speed-limit 1 --speed-time 60 -o "$2" "$1"
    elif has wget; then
        # One that stalls ends in time, and the next goes on from there. (busybox's own -T does not work everywhere.)
        limit=
        if timeout 300 true 2>/dev/null; then limit='timeout 300'; fi
        $limit wget -q -c -t 1 -O "$2" "$1"
    else
        die "neither curl nor wget is here; download the files by other means, and name their folder with --from"
    fi
}

# Sleeps longer after each attempt, and not as long as the other hosts that wait for the same server.
pause() {
    random=$(od -An -N1 -tu1 /dev/urandom 2>/dev/null) || random=$$
    sleep $(($1 + random % ($1 * 2)))
}

# Brings the file $1, whose SHA-256 is $2, into the folder of downloads.
download() {
    file=$work/$1
    if is "$file" "$2"; then
        say "$1 is here already"
        return
    fi
    attempt=1
    while :; do
        before=$(size "$file.part")
        if get "$from/$1" "$file.part"; then
            why="it is another file than expected"
        else
            why="the download broke off"
        fi
        if is "$file.part" "$2"; then
            mv -f "$file.part" "$file"
            say "fetched $1 from $from"
            return
        fi
        if [ "$why" = "the download broke off" ] && [ "$(size "$file.part")" -gt "$before" ]; then
            attempt=1
        else
            # What is whole and wrong, or does not grow, is of no use to the next attempt.
            rm -f "$file.part"
        fi
        [ "$attempt" -lt "$attempts" ] || die "no $1 from $from: $why; nothing is changed, run this again"
        say "attempt $attempt at $from/$1: $why" >&2
        pause "$attempt"
        attempt=$((attempt + 1))
    done
}

check=
while [ $# -gt 0 ]; do
    case $1 in
        --from) [ $# -gt 1 ] || usage; from=$2; shift ;;
        --root) [ $# -gt 1 ] || usage; root=$2; shift ;;
        --check) check=yes ;;
        --) shift; break ;;
        -*) usage ;;
        *) break ;;
    esac
    shift
done
roles=
for role; do
    case $role in
        '' | *[!a-z0-9_@.+-]* | -*) die "\`$role\` is not the name of a role" ;;
    esac
    roles="$roles --role $role"
done

[ "$(uname -s) $(uname -m)" = "Linux $machine" ] || die "this is $(uname -s) on $(uname -m), not Linux on $machine"
has sha256sum || die "sha256sum is not here; install coreutils or busybox"
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "$from" ] && [ -f "$here/store" ] && [ -f "$here/manifest.json" ] && [ -f "$here/$artifact" ]; then
    from=$here
fi
from=${from:-$url}
[ -n "$from" ] || die "say where the files are: --from URL or --from FOLDER"
case $from in *://*) ;; *) from=$(cd "$from" && pwd) ;; esac
case $root in /*) ;; *) root=$(pwd)/$root ;; esac
from=${from%/} root=${root%/}
[ -n "$root" ] || die "a store cannot be the root folder itself"

work=$root.download
ended=
trap '[ -n "$ended" ] || say "stopped; run this again, and it goes on from here" >&2' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir -p "$work"
download store "$store_sha256"
download manifest.json "$manifest_sha256"
chmod 755 "$work/store"

# shellcheck disable=SC2086 # Words, each of them checked above.
"$work/store" preflight --root "$root" --manifest "$work/manifest.json" $roles
if [ -z "$check" ]; then
    # shellcheck disable=SC2086
    "$work/store" install "$from/$artifact" --no-activate --root "$root" --manifest "$work/manifest.json" $roles
    # shellcheck disable=SC2086
    "$work/store" activate --root "$root" $roles
    rm -rf "$work"
    say "done: $artifact is active in $root"
fi
ended=yes
