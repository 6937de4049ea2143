#!/usr/bin/env bash
# Runs static programs on a second, very different KVM: Debian's kernel with its real kvm_amd module,
# on a processor with SVM that QEMU emulates in software. It tells whether something works there, not
# how fast: some ten times slower than the machine, about 15 seconds to boot. QEMU emulates no VMX, so
# there is no Intel counterpart. With more than one CPU the emulated kernel has been seen to lock up when
# a running guest is stopped from another one: whatever kills guests is for one CPU.
#
# usage: scripts/kvm-amd-tcg.sh [--carry PATH]... BINARY [ARGUMENT]...
#        scripts/kvm-amd-tcg.sh [--carry PATH]... --tests PACKAGE [ARGUMENT]...
#
#   BINARY           a static executable, run as root with /dev/kvm; its exit code becomes the script's
#   --tests PACKAGE  builds the package's tests statically (into $CARGO_TARGET_DIR/static) and runs each
#                    test binary with the arguments, for example `--skip name`
#   --carry PATH     makes a file or directory available under the same absolute path
#
# The built guests (guests/target) are carried along with --tests. Environment: TIMEOUT, seconds for
# one boot (900); MEMORY, its MiB (3072); CPUS, how many (1). Needs: apt-get, qemu-system-x86, cpio,
# busybox-static.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ampoule/kvm-amd-tcg
modules=(virt/lib/irqbypass drivers/crypto/ccp/ccp arch/x86/kvm/kvm arch/x86/kvm/kvm-amd)

fail() {
  echo "error: $*" >&2
  exit 2
}

need() {
  command -v "$1" >/dev/null || fail "$1 is missing (Debian: apt-get install $2)"
}

# Downloads Debian's kernel once and keeps its image and the modules that KVM needs.
fetch_kernel() {
  [ -e "$cache/vmlinuz" ] && return
  mkdir -p "$cache"
  local scratch package
  scratch=$(mktemp -d)
  package=$(apt-cache depends linux-image-amd64 | awk '$1 == "Depends:" { print $2; exit }')
  [ -n "$package" ] || fail "apt knows no linux-image-amd64: run apt-get update"
  (cd "$scratch" && apt-get -qq -o APT::Sandbox::User=root download "$package" && dpkg-deb -x ./*.deb .)
  local module
  for module in "${modules[@]}"; do
    cp "$scratch"/lib/modules/*/kernel/"$module".ko "$cache/"
  done
  cp "$scratch"/boot/vmlinuz-* "$cache/vmlinuz"
  rm -rf "$scratch"
}

# Prints the initial file system as a compressed archive: busybox, modules, the program, what it needs.
pack() {
  local program=$1 tree path
  shift
  tree=$(mktemp -d)
  mkdir -p "$tree"/{bin,dev,proc,sys,modules,tmp}
  cp "$(command -v busybox)" "$tree/bin/busybox"
  cp "$cache"/*.ko "$tree/modules/"
  cp "$program" "$tree/bin/program"
  for path in ${carried[@]+"${carried[@]}"}; do
    mkdir -p "$tree$(dirname "$path")"
    cp -r "$path" "$tree$path"
  done
  {
    echo '#!/bin/busybox sh'
    echo '/bin/busybox --install -s /bin'
    echo 'mount -t devtmpfs none /dev; mount -t proc none /proc; mount -t sysfs none /sys'
    echo 'mount -t tmpfs none /tmp'
    for path in "${modules[@]}"; do echo "insmod /modules/${path##*/}.ko"; done
    echo 'export AMPOULE_REQUIRE_KVM=1 RUST_BACKTRACE=1 PATH=/bin HOME=/'
    printf 'cd %q; echo "<<begin>>"\n' "/"
    printf '/bin/program'
    [ $# -eq 0 ] || printf ' %q' "$@"
    printf '\necho "<<end $?>>"; poweroff -f\n'
  } >"$tree/init"
  chmod +x "$tree/init"
  (cd "$tree" && find . | cpio --quiet -o -H newc | gzip -1)
  rm -rf "$tree"
}

# Boots and runs the program; prints its output and returns its exit code.
boot() {
  local scratch code
  scratch=$(mktemp -d)
  pack "$@" >"$scratch/initrd"
  timeout "${TIMEOUT:-900}" qemu-system-x86_64 -accel tcg -cpu ${CPU:-EPYC,+svm} -smp "${CPUS:-1}" -m "${MEMORY:-3072}" \
    -nographic -no-reboot -kernel "$cache/vmlinuz" -initrd "$scratch/initrd" \
    -append 'console=ttyS0 quiet panic=-1' </dev/null 2>/dev/null | tr -d '\r' |
    tee "$scratch/log" | sed -n '/<<begin>>/,/<<end /{/<<begin>>/d; s/<<end [0-9]*>>//; p}' || true
  code=$(sed -n 's/.*<<end \([0-9]*\)>>.*/\1/p' "$scratch/log" | tail -n 1)
  if [ -z "$code" ]; then
    echo "error: the machine stopped before the program ended; its last lines:" >&2
    tail -n 20 "$scratch/log" >&2
    code=124
  fi
  rm -rf "$scratch"
  return "$code"
}

# Builds the package's test binaries statically and prints their paths.
build_tests() {
  local target=${CARGO_TARGET_DIR:-$repository/target}/static
  (cd "$repository" && RUSTFLAGS="-C target-feature=+crt-static" cargo test --quiet --no-run \
    --package "$1" --target x86_64-unknown-linux-gnu --target-dir "$target" --message-format json) |
    sed -n 's/.*"test":true.*"executable":"\([^"]*\)".*/\1/p'
}

need qemu-system-x86_64 qemu-system-x86
need cpio cpio
need busybox busybox-static
carried=()
package=
while [ $# -gt 0 ]; do
  case $1 in
    --carry) carried+=("$(realpath "$2")"); shift 2 ;;
    --tests) package=$2; shift 2 ;;
    -*) fail "unknown option $1" ;;
    *) break ;;
  esac
  [ -z "$package" ] || break
done
fetch_kernel

if [ -z "$package" ]; then
  [ $# -gt 0 ] || fail "which program? (see the head of this script)"
  program=$1
  shift
  code=0
  boot "$program" "$@" || code=$?
  exit "$code"
fi

for built in "$repository"/guests/target/x86_64-unknown-linux-gnu/release/* "$repository"/guests/target/c/*; do
  [ -f "$built" ] && [ -x "$built" ] && carried+=("$built")
done
binaries=$(build_tests "$package")
[ -n "$binaries" ] || fail "$package has no test binary"
failed=0
for binary in $binaries; do
  echo "== ${binary##*/}"
  boot "$binary" "$@" || failed=1
done
exit "$failed"
