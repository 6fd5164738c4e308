#!/usr/bin/env bash
# Installs the Debian packages that Midplane's lab and tests need, after
# printing what it is going to install. Nothing happens when all are there.
#
#   deploy/setup.sh lab     what the lab needs
#   deploy/setup.sh test    that, and what the tests compare with
set -euo pipefail

lab=(qemu-system-x86 qemu-utils seabios ipxe-qemu ipmitool xz-utils)
test=("${lab[@]}" openipmi tshark iproute2 freeipmi-tools gcc libc6-dev libvirt-daemon libvirt-daemon-driver-qemu qemu-guest-agent iputils-arping)

case "${1:-}" in
  lab) want=("${lab[@]}") ;;
  test) want=("${test[@]}") ;;
  *) echo "usage: $0 lab|test" >&2; exit 2 ;;
esac

missing=()
for p in "${want[@]}"; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done

lists() { ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; }
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if [ ${#missing[@]} -gt 0 ] || ! lists; then
  # The guest is built from packages too, so the lists must be there even when
  # nothing is missing here.
  echo "midplane: apt-get update"
  root apt-get update -qq
fi
if [ ${#missing[@]} -gt 0 ]; then
  echo "midplane: installing Debian packages: ${missing[*]}"
  root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if ! command -v "${GO:-go}" >/dev/null; then
  echo "midplane: Go 1.26 or later is needed (https://go.dev/dl/); ${GO:-go} is not on the PATH" >&2
  exit 1
fi
