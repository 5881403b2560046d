# Sourced: the servers, all with two workers, and the load for those that echo. Needs `target`.

source benches/peers.sh

contestants=(fibra fibra-migratable tokio go may epoll)

# Seconds until a server must listen.
patience=10

build_servers() {
    source benches/go.sh
    for_peer "$go" -C benches/go build -o "$target/go-hello" ./hello
    cargo build --profile bench -p fibra-benches --bin http_hello
    build_may
    local program
    for program in epoll_hello net_load; do
        cc -std=c11 -O2 -Wall -Wextra -pthread -o "$target/$program" "benches/c/$program.c"
    done
}

# Starts a contestant's server: sets `server`, its process, and `port`.
start_server() {
    local who=$1 service=$2 line
    local command=("$target/release/http_hello" "$who" "$service" 0)
    case $who in
    go) command=("$target/go-hello" "$service" 0) ;;
    may) command=("$target/may/release/may-hello" "$service" 0) ;;
    epoll) command=("$target/epoll_hello" "$service" 0) ;;
    esac
    exec {output}< <(exec "${command[@]}")
    server=$!
    read -r -t $patience line <&"$output" && [[ $line == "listening on 127.0.0.1:"* ]] || {
        echo "$who: does not listen" >&2
        return 1
    }
    port=${line##*:}
}

# Ends the server. Fails if it has ended by itself.
stop_server() {
    local alive=0
    [[ -n ${server:-} ]] || return 0
    kill -KILL "$server" 2>/dev/null || alive=1
    # It ends by the signal just sent, which is no failure.
    wait "$server" 2>/dev/null || true
    exec {output}<&-
    server=
    return $alive
}
