#!/usr/bin/env bash
# On a platform without a context switch the build stops with one sentence that says so, and on x86-64
# Linux it does not. Runs the runtime's build script with what Cargo would tell it about each target,
# which needs none of those targets' libraries.
#
# Able to fail: a build script without its check of the operating system stopped it, and so did one
# that refuses every target.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rustc --edition 2024 -o "$work/build" runtime/build.rs

# The errors that the build script reports for a target.
errors() {
    local key value settings=()
    while IFS='=' read -r key value; do
        case $key in
        target_arch | target_os | target_pointer_width)
            settings+=("CARGO_CFG_${key^^}=${value//\"/}")
            ;;
        esac
    done < <(rustc --print cfg --target "$1")
    env "${settings[@]}" "$work/build" | sed -n 's/^cargo::error=//p'
}

for target in x86_64-unknown-linux-gnu x86_64-unknown-linux-musl; do
    said=$(errors $target)
    [[ -z $said ]] || { echo "platform: $target: $said" >&2; exit 1; }
done
for target in aarch64-unknown-linux-gnu x86_64-apple-darwin x86_64-pc-windows-msvc x86_64-unknown-linux-gnux32; do
    said=$(errors $target)
    [[ $said == "fibra runs on "* && $(wc -l <<<"$said") == 1 ]] ||
        { echo "platform: $target: not one sentence, but '$said'" >&2; exit 1; }
    echo "platform: $target: $said"
done
