/*
 * The load for servers that echo: one thread, and no more work than it takes to check every byte.
 *
 *     net_load echo|cycle PORT CONNECTIONS SECONDS [MESSAGES]
 *
 * `echo`: each connection sends a message, waits until it has come back, and sends the next one. `cycle`: each
 * connects, sends one message, waits until it has come back and the server has closed, and begins again.
 *
 * Ends after SECONDS, or after MESSAGES in all if that is given; SECONDS is then the most that it may take.
 * Prints one line: how many came back, how many microseconds that took, and the median and the 99th percentile
 * of a message or cycle, also in microseconds. Fails when something that came back is wrong, or when nothing
 * comes for a while.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define USAGE "usage: net_load echo|cycle PORT CONNECTIONS SECONDS [MESSAGES]\n"

enum {
    EVENTS = 256,
    /* How long a server may be silent. */
    PATIENCE_MS = 10 * 1000,
    /* Whatever took longer counts as so many microseconds. */
    LONGEST = 1000 * 1000,
};

/* Different each time, so that nothing stale passes for it. */
struct message {
    uint64_t connection;
    uint64_t number;
    char rest[16];
};

struct connection {
    int fd;
    struct message sent;
    size_t received;
    int64_t began;
};

static bool cycles;
static int epoll;
static struct sockaddr_in server;
static int64_t deadline;
static uint64_t begun, done, most = UINT64_MAX;
static uint32_t took[LONGEST + 1];

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "net_load: %s\n", what);
    exit(1);
}

static int check(int result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(1);
    }
    return result;
}

/* Microseconds. */
static int64_t now(void) {
    struct timespec time;
    check(clock_gettime(CLOCK_MONOTONIC, &time), "clock_gettime");
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/* Connecting blocks: the kernel does it on behalf of the server, within this call. */
static void open_connection(struct connection *connection) {
    const int on = 1;
    int fd = connection->fd = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "setsockopt");
    check(connect(fd, (struct sockaddr *)&server, sizeof server), "connect");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

/* With a reset, so that neither side keeps the address for a minute: it could run out of ports. */
static void close_connection(struct connection *connection) {
    const struct linger none = {.l_onoff = 1, .l_linger = 0};
    check(setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none), "setsockopt");
    check(close(connection->fd), "close");
}

/* Sends the next message, if there is to be one. */
static void begin(struct connection *connection, int64_t time) {
    if (begun == most || (most == UINT64_MAX && time >= deadline))
        return;
    begun++;
    connection->began = time;
    connection->received = 0;
    connection->sent.number++;
    if (cycles)
        open_connection(connection);
    ssize_t sent = send(connection->fd, &connection->sent, sizeof connection->sent, MSG_NOSIGNAL);
    if (check(sent, "send") != sizeof connection->sent)
        fail("a message was cut off");
}

/* Takes what has come; true when the message is back, and the connection closed where it has to be. */
static bool is_back(struct connection *connection) {
    const size_t size = sizeof connection->sent;
    const char *sent = (const char *)&connection->sent;
    char bytes[sizeof connection->sent + 1];
    for (;;) {
        ssize_t count = recv(connection->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (count < 0 && errno == EAGAIN)
            return false;
        check(count, "recv");
        if (count == 0) {
            if (!cycles || connection->received < size)
                fail("the server has closed too early");
            return true;
        }
        if (connection->received + count > size ||
            memcmp(bytes, sent + connection->received, count) != 0)
            fail("something else came back");
        connection->received += count;
        if (connection->received < size || (size_t)count == sizeof bytes)
            continue;
        if (!cycles)
            return true;
    }
}

static int percentile(unsigned percent) {
    uint64_t seen = 0, wanted = (done * percent + 99) / 100;
    int time = 0;
    while (time < LONGEST && (seen += took[time]) < wanted)
        time++;
    return time;
}

static long number(const char *word) {
    char *end;
    errno = 0;
    long value = strtol(word, &end, 10);
    if (errno || *end || value <= 0) {
        fputs(USAGE, stderr);
        exit(1);
    }
    return value;
}

int main(int count, char **words) {
    if ((count != 5 && count != 6) || (strcmp(words[1], "echo") && strcmp(words[1], "cycle"))) {
        fputs(USAGE, stderr);
        return 1;
    }
    cycles = strcmp(words[1], "cycle") == 0;
    server.sin_family = AF_INET;
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.sin_port = htons(number(words[2]));
    long connections = number(words[3]);
    if (count == 6)
        most = number(words[5]);

    epoll = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    struct connection *all = calloc(connections, sizeof *all);
    if (!all)
        fail("no memory");
    for (long i = 0; i < connections; i++) {
        all[i].sent.connection = i;
        if (!cycles)
            open_connection(&all[i]);
    }
    int64_t start = now();
    deadline = start + number(words[4]) * 1000000;
    for (long i = 0; i < connections; i++)
        begin(&all[i], now());
    while (done < begun) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(epoll, events, EVENTS, PATIENCE_MS);
        if (ready < 0 && errno == EINTR)
            continue;
        if (check(ready, "epoll_wait") == 0)
            fail("the server is silent");
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!is_back(connection))
                continue;
            int64_t time = now();
            int64_t length = time - connection->began;
            took[length < LONGEST ? length : LONGEST]++;
            done++;
            if (cycles)
                close_connection(connection);
            begin(connection, time);
        }
        if (most != UINT64_MAX && now() >= deadline)
            fail("it takes too long");
    }
    printf("operations %" PRIu64 " microseconds %" PRId64 " p50 %d p99 %d errors 0\n", done,
           now() - start, percentile(50), percentile(99));
}
