# Sourced: what builds the peers. Needs `target`.

# Builds or installs something for a peer. If that fails the others run all the same, and the peer is seen to fail.
for_peer() {
    "$@" || echo "FAILED: $*" >&2
}

# may's programs, `may-hello` and `rounds`, in $target/may/release.
build_may() {
    for_peer cargo build --release --manifest-path benches/may/Cargo.toml --target-dir "$target/may"
}

# `rounds` of Fibra, tokio and rayon, and those of Go and may. Needs `go` (go.sh).
build_rounds() {
    for_peer "$go" -C benches/go build -o "$target/go-rounds" .
    build_may
    cargo build --profile bench -p fibra-benches --bin rounds
}
