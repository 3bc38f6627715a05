#!/bin/sh
# The browser tests drive a Chromium; take the one that is there, else the system's package, else Playwright's own build.
set -eu
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if command -v apt-get >/dev/null 2>&1; then
    echo "Installing Chromium for the browser tests, a minute or more"
    as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo -n"
    if $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; then
        exit 0
    fi
fi
"$1" -m playwright install chromium
