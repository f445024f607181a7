#!/bin/sh
# The binary interface of libwkim.so: exported names, struct layouts, headers that stand alone.
# usage: test/abi/run.sh [BUILD_DIR]            compare with symbols.txt and layout.txt
#        test/abi/run.sh --update [BUILD_DIR]   write them anew (an intended change of the interface)
set -u
cd "$(dirname "$0")/../.." || exit 1
exec python3 test/abi/abi.py "$@"
