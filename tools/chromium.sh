#!/usr/bin/env bash
# Prints the path of a working Chromium for the browser tests; installs one first where there is none.
# Order: what the machine has, what an earlier call put into .tools/, the system's packages as root,
# the same packages unpacked into .tools/ without root, Playwright's own download.
# CHROMIUM_WITHOUT_ROOT=1 skips what needs root.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools="$repository/.tools/chromium"
wrapper="$tools/chromium"
names=(chromium chromium-browser google-chrome google-chrome-stable)

say() { printf 'chromium: %s\n' "$*" >&2; }

# Some distributions put a script in place of the browser that only asks for a snap, so each candidate is started.
works() { [ -x "$1" ] && timeout 60 "$1" --version >/dev/null 2>&1; }

print_if_found() {
    local name candidate
    for name in "${names[@]}"; do
        candidate=$(command -v "$name" || true)
        if [ -n "$candidate" ] && works "$candidate"; then printf '%s\n' "$candidate"; exit 0; fi
    done
    for candidate in "$wrapper" \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" \
        "/Applications/Chromium.app/Contents/MacOS/Chromium"; do
        if works "$candidate"; then printf '%s\n' "$candidate"; exit 0; fi
    done
}

with_root() {
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then return 1; fi
        as_root=(sudo -n)
    fi
    say "installing the system's package (a minute or two)"
    "${as_root[@]}" apt-get -qq update >&2 || return 1
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends chromium fonts-dejavu-core >&2 || return 1
}

write_wrapper() {
    local root="$tools/root" binary folders
    binary=$(find "$root/usr/lib" -type f -path '*/chromium*/chromium' -perm -u+x -print -quit)
    if [ -z "$binary" ]; then say "the package chromium of this distribution holds no browser"; return 1; fi
    folders=$(find "$root/usr/lib" "$root/lib" -name '*.so*' -printf '%h\n' 2>/dev/null | sort -u | paste -sd: -)
    # Fonts are read from the system and from XDG_DATA_HOME/fonts; a machine without fontconfig needs its files too.
    cat >"$wrapper" <<EOF
#!/bin/sh
export LD_LIBRARY_PATH='$folders'\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
export XDG_DATA_HOME='$root/usr/share'
[ -e /etc/fonts/fonts.conf ] || export FONTCONFIG_PATH='$root/etc/fonts'
exec '$binary' "\$@"
EOF
    chmod +x "$wrapper"
}

without_root() {
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    local apt="$repository/.tools/apt" package
    rm -rf "$tools" "$apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$tools/root"
    local private=(
        -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o "Dir::Log=$apt" -o Debug::NoLocking=true
        -o "Dir::State::extended_states=$apt/extended_states"
    )
    say "unpacking the system's packages into .tools/ (no root on this machine)"
    apt-get -qq "${private[@]}" update >&2 || return 1
    apt-get -qq "${private[@]}" install -y --no-install-recommends --download-only \
        chromium fonts-dejavu-core >&2 || return 1
    for package in "$apt"/cache/archives/*.deb; do
        dpkg -x "$package" "$tools/root" || return 1
    done
    write_wrapper || return 1
    rm -rf "$apt"
}

from_playwright() {
    local playwright="$repository/.venv/bin/playwright" browsers="$repository/.tools/playwright" binary
    [ -x "$playwright" ] || return 1
    say "asking Playwright for its own build"
    PLAYWRIGHT_BROWSERS_PATH="$browsers" timeout 600 "$playwright" install chromium >&2 || return 1
    binary=$(find "$browsers" -type f \( -name chrome -o -name Chromium -o -name 'Google Chrome for Testing' \) -perm -u+x -print -quit)
    [ -n "$binary" ] || return 1
    mkdir -p "$tools"
    ln -sfn "$binary" "$wrapper"
}

print_if_found
if [ "${CHROMIUM_WITHOUT_ROOT:-0}" != 1 ] && command -v apt-get >/dev/null && with_root; then print_if_found; fi
if without_root; then print_if_found; fi
if from_playwright; then print_if_found; fi

say "no Chromium could be installed."
say "Install Chromium or Google Chrome by hand so that 'chromium' or 'google-chrome' is on PATH, then run this again."
say "If one is there and does not start, its own message says which library is missing: run it with --version."
exit 1
