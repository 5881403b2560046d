/*
 * A server by a bare epoll loop: HTTP hello, echo, or accept-echo-close. Runs until it is ended. The same as
 * src/bin/http_hello.rs, with nothing between it and the kernel; http.sh runs both in turn.
 *
 * Two threads, each with a listener on the same port (SO_REUSEPORT), so that they share nothing.
 *
 * Edge-triggered: a read that does not fill the room has taken all there was, so no second one has to find
 * that out. Only the end of the connection could have come together with those bytes; EPOLLRDHUP tells.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define USAGE "usage: epoll_hello hello|echo|cycle PORT   PORT 0 is any that is free\n"
#define REPLY                                                                                      \
    "HTTP/1.1 200 OK\r\n"                                                                          \
    "Content-Type: text/plain\r\n"                                                                 \
    "Content-Length: 13\r\n"                                                                       \
    "\r\n"                                                                                         \
    "Hello, World!"

enum {
    WORKERS = 2,
    /* The bytes of a request that are kept, and the most that one read takes. */
    ROOM = 4096,
    LENGTH = sizeof REPLY - 1,
    /* No header is shorter than its empty line. */
    SHORTEST = 4,
    EVENTS = 256,
    BACKLOG = 4096,
};

struct connection {
    int fd;
    /* How much of `input` is the beginning of a request. */
    size_t filled;
    char input[ROOM];
};

static enum { HELLO, ECHO, CYCLE } service;

static _Noreturn void fail(const char *what) {
    perror(what);
    exit(1);
}

static int listen_at(struct sockaddr_in *address) {
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on))
        fail("setsockopt");
    if (bind(fd, (struct sockaddr *)address, sizeof *address))
        fail("bind");
    socklen_t size = sizeof *address;
    if (getsockname(fd, (struct sockaddr *)address, &size))
        fail("getsockname");
    if (listen(fd, BACKLOG))
        fail("listen");
    return fd;
}

static void watch(int epoll, int fd, uint32_t events, struct connection *connection) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        fail("epoll_ctl");
}

static void accept_all(int epoll, int listener) {
    const int on = 1;
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EAGAIN)
                return;
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            fail("accept4");
        }
        struct connection *connection = calloc(1, sizeof *connection);
        if (!connection)
            fail("calloc");
        connection->fd = fd;
        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on))
            fail("setsockopt");
        watch(epoll, fd, EPOLLIN | EPOLLRDHUP | EPOLLET, connection);
    }
}

/* Waits where there is no room, which does not happen as long as the other side reads its replies. */
static bool write_all(int fd, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t written = send(fd, bytes, count, MSG_NOSIGNAL);
        if (written >= 0) {
            bytes += written;
            count -= written;
        } else if (errno == EAGAIN) {
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

/* The length of the header that `input` begins with, 0 if its end is not there. src/conversation/ says why
 * it looks like this. */
static size_t header_length(const char *input, size_t count) {
    size_t last = 3;
    while (last < count) {
        switch (input[last]) {
        case '\n':
            if (memcmp(input + last - 3, "\r\n\r", 3) == 0)
                return last + 1;
            last += 2;
            break;
        case '\r':
            last += 1;
            break;
        default:
            last += 4;
        }
    }
    return 0;
}

/* Greets for every request that is complete. */
static bool greet(struct connection *connection, size_t count) {
    static _Thread_local char output[ROOM / SHORTEST * LENGTH];
    size_t begin = 0, end = connection->filled + count, filled = 0, length;
    while ((length = header_length(connection->input + begin, end - begin)) > 0) {
        memcpy(output + filled, REPLY, LENGTH);
        filled += LENGTH;
        begin += length;
    }
    connection->filled = end - begin;
    memmove(connection->input, connection->input + begin, connection->filled);
    return write_all(connection->fd, output, filled);
}

/* Reads and replies until nothing is left; false when the connection is over. */
static bool talk(struct connection *connection, uint32_t events) {
    bool ending = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    for (;;) {
        size_t room = ROOM - connection->filled;
        ssize_t count = recv(connection->fd, connection->input + connection->filled, room, 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN)
            return true;
        if (count <= 0)
            return false;
        bool written = service == HELLO ? greet(connection, count)
                                        : write_all(connection->fd, connection->input, count);
        if (!written || service == CYCLE)
            return false;
        if ((size_t)count < room && !ending)
            return true;
    }
}

static void *run(void *argument) {
    int listener = *(int *)argument;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        fail("epoll_create1");
    watch(epoll, listener, EPOLLIN, NULL);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll, events, EVENTS, -1);
        if (count < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection) {
                accept_all(epoll, listener);
            } else if (!talk(connection, events[i].events)) {
                close(connection->fd);
                free(connection);
            }
        }
    }
    return NULL;
}

int main(int count, char **words) {
    static const char *const services[] = {"hello", "echo", "cycle"};
    int chosen = 0;
    while (count == 3 && chosen < 3 && strcmp(words[1], services[chosen]) != 0)
        chosen++;
    if (count != 3 || chosen == 3) {
        fputs(USAGE, stderr);
        return 1;
    }
    service = chosen;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(atoi(words[2])),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int listeners[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        listeners[i] = listen_at(&address);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (int i = 1; i < WORKERS; i++) {
        pthread_t thread;
        errno = pthread_create(&thread, NULL, run, &listeners[i]);
        if (errno)
            fail("pthread_create");
    }
    run(&listeners[0]);
}
