#!/bin/sh
# Published client SDKs and our own codec against build/wkim-server; ends with "N passed, N failed".
# usage: test/sdk/run.sh [js|rpc|easy|go|versions|grpc]
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
SDK_BUILD="$root/build/test/sdk"
export SDK_BUILD
mkdir -p "$SDK_BUILD"
if [ ! -d node_modules/wukongimjssdk ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --loglevel=error
fi
if [ ! -d "$SDK_BUILD/python/grpc" ] || [ requirements.txt -nt "$SDK_BUILD/python" ]; then
    rm -rf "$SDK_BUILD/python"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$SDK_BUILD/python" \
        -r requirements.txt
    touch "$SDK_BUILD/python"
fi
(cd go && go build -mod=readonly -o "$SDK_BUILD/gosdk" .)
${CC:-gcc} -std=gnu11 -O2 -g -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wvla -Werror \
    -I"$root/include" -o "$SDK_BUILD/versions" versions.c "$root/build/libwkim.a" -pthread \
    -levent_core -levent_pthreads -lrocksdb -ljansson -lcrypto -lz
exec node run.mjs "$@"
