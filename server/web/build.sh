#!/bin/sh
# Builds the web pages.  usage: server/web/build.sh OUTPUT_FOLDER (OUTPUT_FOLDER/chatdemo is made new)
set -eu
case ${1:?usage: build.sh OUTPUT_FOLDER} in
    /*) out=$1 ;;
    *) out=$PWD/$1 ;;
esac
cd "$(dirname "$0")"
# The packages are as the lock file says, by their checksums; fetched once.
if [ ! -d node_modules/esbuild ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --loglevel=error
fi
WEB_OUT=$out node build.mjs
