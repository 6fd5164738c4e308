#!/usr/bin/env bash
# Fails when the committed protobuf code is not what the .proto files generate.
set -euo pipefail
tools=$1
cd "$(dirname "$0")/../proto"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
PATH=$tools:$PATH buf generate -o "$out"
if ! diff -r -q -x '*.proto' midplane "$out/midplane"; then
  echo "generated code differs from the .proto files: run make generate" >&2
  exit 1
fi
