#!/bin/sh
# Browser tests of the web pages; ends with "N passed, N failed".
set -eu
cd "$(dirname "$0")"
if [ ! -d node_modules/playwright-core ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --loglevel=error
fi
exec node run.mjs
