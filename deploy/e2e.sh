#!/usr/bin/env bash
# What `make e2e` runs: "packages" lists the packages that have end-to-end tests (build tag e2e), "tests" is a
# regular expression of those tests, so that the others there, which `make unit` runs, are not run twice.
set -euo pipefail
cd "$(dirname "$0")/.."
files=$(git ls-files '*_test.go' | xargs grep -l '^//go:build e2e')
case ${1-} in
packages) # internal/e2e takes as long as all others
  echo ./internal/e2e
  echo "$files" | xargs -n1 dirname | sort -u | sed 's|^|./|' | grep -vx ./internal/e2e ;;
tests) echo "^($(echo "$files" | xargs sed -nE 's/^func (Test[A-Za-z0-9_]+)\(t .*/\1/p' | sort -u | paste -sd'|'))$" ;;
*) echo "usage: $0 packages|tests" >&2; exit 2 ;;
esac
