#!/usr/bin/env bash
# Lists the packages that have end-to-end tests (build tag e2e).
set -euo pipefail
cd "$(dirname "$0")/.."
git ls-files '*_test.go' | xargs grep -l '^//go:build e2e' | xargs -n1 dirname | sort -u | sed 's|^|./|'
