# The servers, with real clients: curl, wrk, and sockets in Python that do what a client should not.
#
# Able to fail, each of these was stopped:
# * an echo server that lost bytes, served one at a time, ended when it had no descriptors left or did not say
#   so, panicked at a reset, leaked connections, ended otherwise than with 0, or waited for its clients;
# * an HTTP server without one of its limits, or with one that was off by one; whose idle time or deadline did
#   not count, began anew with each byte, or was not lifted afterwards; that kept an answer back, answered only
#   the first of several requests, closed at once or lingered for ever; that took each request which must be
#   refused, or knew nothing of HEAD, queries, HTTP/1.0, chunks, trailers or invitations; whose Ctrl-C cut
#   requests off, kept idle connections or the listener, or could not be hurried;
# * a TLS server with another name, without a farewell, or in which one handshake kept the others waiting;
# * a chat that told the speaker, kept everything for the slow, did not tell them or the others, took the names
#   of two for one, or did not say goodbye;
# * a proxy that closed both directions at once, passed on no end, no error or not every byte, or kept the
#   other side open.

if ! { command -v curl && command -v wrk; } >/dev/null; then
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy curl wrk
fi

# Each part of this script that is Python begins with it.
cat >network.py <<'PYTHON'
import os, re, resource, signal, socket, struct, subprocess, tempfile, threading, time

# Longer than anything here takes.
LONG = 30


class Server:
    """An example that listens. It must end by Ctrl-C with status 0, having printed `reports` on stderr."""

    def __init__(self, *command, files=None, reports="", status=0):
        limit, env = None, dict(os.environ)
        if files:
            env["FIBRA_WORKERS"] = "2"  # each takes some
            limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        self.errors = tempfile.TemporaryFile("w+")
        self.reports, self.status = reports, status
        self.process = subprocess.Popen(["./" + command[0], *command[1:]], stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, preexec_fn=limit, env=env)
        line = self.process.stdout.readline()
        found = re.fullmatch(r"listening on (127\.0\.0\.1:(\d+))\n", line)
        assert found, f"it says {line!r}"
        self.address, self.port = found[1], int(found[2])
        self.url = "http://" + self.address
        self.sockets = self.open_sockets()

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        try:
            if not failed:
                self.stop()
        finally:
            self.process.kill()
            self.process.wait()

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def stop(self):
        if self.process.poll() is None:
            self.interrupt()
        status = self.process.wait(LONG)
        assert status == self.status, f"exit status {status}"
        self.errors.seek(0)
        errors = self.errors.read()
        assert re.fullmatch(self.reports, errors), f"on stderr: {errors[:1000]}"
        assert self.process.stdout.read() == ""

    def open_sockets(self):
        folder = f"/proc/{self.process.pid}/fd/"
        count = 0
        for file in os.listdir(folder):
            try:
                count += os.readlink(folder + file).startswith("socket:")
            except FileNotFoundError:
                pass
        return count

    def has_closed_all(self):
        """Waits until no connection is open any more."""
        eventually(lambda: self.open_sockets() <= self.sockets, "connections were left open")

    def connect(self):
        return Client(self.port)


class Client:
    """A connection that may be used as slowly as one likes."""

    def __init__(self, port, receive_buffer=None):
        self.socket = socket.socket()
        self.socket.settimeout(LONG)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def finish(self):
        """Sends no more, but goes on receiving."""
        self.socket.shutdown(socket.SHUT_WR)

    def line(self):
        return self.file.readline()

    def rest(self):
        return self.file.read()

    def expect(self, *lines):
        for line in lines:
            found = self.line()
            assert found == line, f"{found!r} instead of {line!r}"

    def expect_end(self):
        rest = self.rest()
        assert rest == b"", f"{rest[:200]!r} instead of the end"

    def close(self):
        self.file.close()
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def answer(self, head_only=False):
        """The next answer of an HTTP server: its code, headers and body."""
        status = self.line()
        found = re.fullmatch(rb"HTTP/1\.1 (\d+) [\w ]+\r\n", status)
        assert found, f"{status!r} is not a status line"
        headers = {}
        while (line := self.line()) != b"\r\n":
            name, value = re.fullmatch(r"([\w-]+): (.*)\r\n", line.decode()).groups()
            headers[name.lower()] = value
        body = b"" if head_only else self.file.read(int(headers["content-length"]))
        return int(found[1]), headers, body


def eventually(holds, otherwise):
    deadline = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.01)


def background(function, *arguments):
    """Runs a function in a thread; the result of calling what this returns is the function's."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function(*arguments)), daemon=True)
    thread.start()
    def wait():
        thread.join(LONG)
        assert results, f"{function.__name__} failed or did not end"
        return results[0]
    return wait


def run(*command):
    done = subprocess.run(command, capture_output=True, timeout=LONG)
    assert done.returncode == 0, f"{command}: {done.returncode}: {done.stderr.decode()[-500:]}"
    return done.stdout


def curl(*arguments):
    return run("curl", "-sS", "--noproxy", "*", *arguments)


def wrk(seconds, *arguments):
    text = run("wrk", "-t2", "-c64", f"-d{seconds}s", *arguments).decode()
    requests = int(re.search(r"(\d+) requests in", text)[1])
    assert requests > 0 and "Socket errors" not in text and "Non-2xx" not in text, text
PYTHON

say "echo_server"
python3 - <<'PYTHON'
from network import *

with Server("echo_server") as server:
    # Many at once, each of which must get its own.
    clients = [server.connect() for _ in range(200)]
    for turn in range(3):
        for i, client in enumerate(clients):
            client.send(b"%d in turn %d\n" % (i, turn))
        for i, client in enumerate(clients):
            client.expect(b"%d in turn %d\n" % (i, turn))
    # More than all buffers together hold, to the last byte.
    data = os.urandom(20_000_000)
    everything = background(clients[0].rest)
    clients[0].send(data)
    clients[0].finish()
    assert everything() == data
    # Whoever leaves in anger harms nobody.
    clients[1].send(b"?" * 100_000)
    clients[1].reset()
    clients[2].send(b"still there\n")
    clients[2].expect(b"still there\n")
    for client in clients:
        client.close()
    server.has_closed_all()
    # Ctrl-C does not wait for this one.
    client = server.connect()
    client.send(b"hello\n")
    client.expect(b"hello\n")

# With too few descriptors it serves those for which they are enough, then the others.
with Server("echo_server", files=40, reports=r"(echo_server: Too many open files \(os error 24\)\n)+") as server:
    clients = [server.connect() for _ in range(60)]
    for client in clients:
        client.send(b"hello\n")
    eventually(lambda: os.fstat(server.errors.fileno()).st_size > 0, "it does not say that it has too many open files")
    for client in clients:
        client.expect(b"hello\n")
        client.close()
    server.has_closed_all()

with Server("echo_server") as server:
    taken = subprocess.run(["./echo_server", server.address], capture_output=True, text=True, timeout=LONG)
    assert taken.returncode == 1 and taken.stdout == "", taken
    assert taken.stderr == "echo_server: Address already in use (os error 98)\n", taken.stderr
PYTHON
refuses 'invalid socket address' echo_server here

say "http_server: curl and wrk"
python3 - <<'PYTHON'
from network import *

with Server("http_server") as server:
    url = server.url
    assert curl(url) == b"Hello, world!"
    assert curl(url + "/?a=/echo") == b"Hello, world!"
    head = curl("-I", url).decode()
    assert head.startswith("HTTP/1.1 200 OK\r\n") and "\r\nContent-Length: 13\r\n" in head, head
    assert curl("-w", " %{http_code} %{num_connects}", url, url) == b"Hello, world! 200 1Hello, world! 200 0"
    assert curl("-w", " %{http_code}", url + "/nowhere") == b"There is / and /echo.\n 404"
    for options in (["-d", "words", url], ["-X", "PUT", url], [url + "/echo"], ["-I", url + "/echo"]):
        assert curl("-o", "out", "-w", "%{http_code}", *options) == b"405", options
    assert b"\r\nAllow: GET, HEAD\r\n" in curl("-i", "-d", "words", url)
    assert b"\r\nAllow: POST\r\n" in curl("-i", url + "/echo")

    # Bodies of all lengths up to the longest, with the length before and in chunks, invited and uninvited.
    for length in (0, 1, 8191, 8192, 8193, 100_000, 1024 * 1024):
        with open("body", "wb") as body:
            body.write(os.urandom(length))
        for headers in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"], ["-H", "Expect:"],
                        ["-H", "Expect:", "-H", "Transfer-Encoding: chunked"], ["-0"]):
            curl("-o", "out", *headers, "--data-binary", "@body", url + "/echo")
            assert open("out", "rb").read() == open("body", "rb").read(), (length, headers)
    # Longer ones are refused, also when the client does not stop to listen.
    with open("body", "ab") as body:
        body.write(b"!")
    for headers in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect:"],
                    ["-H", "Expect:", "-H", "Transfer-Encoding: chunked"]):
        code = curl("-o", "out", "-w", "%{http_code}", *headers, "--data-binary", "@body", url + "/echo")
        assert code == b"413", (headers, code)

    old = curl("-0", "-i", url).decode()
    assert "\r\nConnection: close\r\n" in old, old
    assert curl("-0", "-H", "Connection: keep-alive", "-w", "%{num_connects}", url, url).endswith(b"!0")
    assert curl("-H", "Connection: close", "-w", "%{num_connects}", url, url).endswith(b"!1")

    wrk(3, url)
    with open("pipeline.lua", "w") as script:
        script.write("""
            init = function() requests = wrk.format("GET", "/"):rep(16) end
            request = function() return requests end
        """)
    wrk(1, "-s", "pipeline.lua", url)
    with open("post.lua", "w") as script:
        script.write('wrk.method = "POST"; wrk.body = ("x"):rep(20000)')
    wrk(1, "-s", "post.lua", url + "/echo")
    server.has_closed_all()
PYTHON

say "http_server: clients that know HTTP too well, or not at all"
python3 - <<'PYTHON'
from network import *

HELLO = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"

def post(body, *headers):
    lines = [b"POST /echo HTTP/1.1", b"Host: here", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body

def chunked(*chunks, end=b"0\r\n\r\n"):
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end
    return b"POST /echo HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n" + body

with Server("http_server") as server:
    # Several requests at once are answered in order, whatever they are cut into.
    requests, bodies = [], []
    for i in range(300):
        body = b"%d " % i * (i % 50)
        kind = i % 4
        if kind == 0:
            requests.append(post(body))
        elif kind == 1:
            requests.append(chunked(*([body] if body else []), b"and more"))
            body += b"and more"
        elif kind == 2:
            requests.append(chunked(b"x", end=b"0\r\nTrailer: a\r\nAnother: b\r\n\r\n"))
            body = b"x"
        else:
            requests.append(HELLO)
            body = b"Hello, world!"
        bodies.append(body)
    everything = b"".join(requests)
    for size in (len(everything), 10_000, 8192, 1000, 77, 7):
        client = server.connect()
        def send():
            for start in range(0, len(everything), size):
                client.send(everything[start:start + size])
            client.finish()
            return True
        sent = background(send)
        for i, body in enumerate(bodies):
            code, headers, found = client.answer()
            assert (code, found) == (200, body), (size, i, code, found, body)
            assert "connection" not in headers, headers
        client.expect_end()
        sent()
        client.close()

    # One by one, and the answer to the first does not wait for the rest of the second.
    client = server.connect()
    client.send(HELLO + HELLO[:20])
    assert client.answer()[0] == 200
    client.send(HELLO[20:] + b"HEAD / HTTP/1.1\r\nHost: here\r\n\r\n" + HELLO)
    assert client.answer()[0] == 200
    assert client.answer(head_only=True)[1]["content-length"] == "13"
    assert client.answer()[2] == b"Hello, world!"
    # Invited.
    client.send(b"POST /echo HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    client.expect(b"HTTP/1.1 100 Continue\r\n", b"\r\n")
    client.send(b"ok")
    assert client.answer()[2] == b"ok"
    # Not invited: it would be too long.
    client.send(b"POST /echo HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: 1048577\r\n\r\n")
    assert client.answer()[0] == 413
    client.expect_end()
    client.close()

    # The connection ends after the request that wants it, though there are more.
    for request in (
        b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\nConnection: keep-alive, Close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ):
        client = server.connect()
        client.send(HELLO + request + HELLO)
        assert "connection" not in client.answer()[1]
        assert client.answer()[1]["connection"] == "close"
        client.expect_end()
        client.close()
    client = server.connect()
    client.send(b"GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n" + HELLO)
    assert client.answer()[1]["connection"] == "keep-alive"
    assert client.answer()[0] == 200
    client.close()

    # An old client would not know what to make of an invitation.
    client = server.connect()
    client.send(HELLO + b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert client.answer()[0] == 200
    client.send(b"ok")
    assert client.answer()[2] == b"ok"
    # Nor does the server wait for long until the client closes its side.
    server.has_closed_all()
    client.close()

    # What is no request, or might be two, is refused, and so is what follows.
    def with_headers(*headers):
        return b"\r\n".join([b"POST /echo HTTP/1.1", b"Host: here", *headers]) + b"\r\n\r\n"
    filler = b"GET / HTTP/1.1\r\nHost: here\r\nFiller: "
    for code, request in (
        (400, b"\0\1\2"),
        (400, b"hello\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n\r\n"),
        (400, b"GET / HTTP/2.0\r\nHost: here\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: here\r\nHost: there\r\n\r\n"),
        (400, with_headers(b"no colon")),
        (400, with_headers(b"Content-Length : 5")),
        (400, with_headers(b"Content-Length: +5")),
        (400, with_headers(b"Content-Length: -5")),
        (400, with_headers(b"Content-Length:")),
        (400, with_headers(b"Content-Length: 5, 5")),
        (400, with_headers(b"Content-Length: 5", b"Content-Length: 5")),
        (400, with_headers(b"Content-Length: 5", b"Transfer-Encoding: chunked")),
        (400, with_headers(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
        (400, b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (501, with_headers(b"Transfer-Encoding: gzip, chunked")),
        (413, with_headers(b"Content-Length: 99999999999999999999999999")),
        (400, with_headers(b"Transfer-Encoding: chunked") + b"many\r\n"),
        (400, with_headers(b"Transfer-Encoding: chunked") + b"1\r\nxy"),
        (400, with_headers(b"Transfer-Encoding: chunked") + b"1;" + b"x" * 9000),
        (413, with_headers(b"Transfer-Encoding: chunked") + b"fffffffffffffff\r\n"),
        (431, chunked(end=b"0\r\nTrailer: " + b"x" * 9000)),
        (431, filler + b"x" * (8192 - len(filler))),
        (431, b"GET /" + b"x" * 9000),
        (431, with_headers(*[b"A: b"] * 64)),
    ):
        client = server.connect()
        client.send(HELLO + request)
        assert client.answer()[0] == 200
        found, headers, _ = client.answer()
        assert (found, headers["connection"]) == (code, "close"), (found, headers, request[:100])
        client.expect_end()
        client.close()
    # As long as it may be.
    client = server.connect()
    client.send(filler + b"x" * (8192 - len(filler) - 4) + b"\r\n\r\n" + HELLO)
    assert client.answer()[0] == 200
    assert client.answer()[0] == 200
    client.close()
    server.has_closed_all()
PYTHON

say "http_server: clients that take their time"
python3 - <<'PYTHON'
from network import *

HELLO = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"

# A byte now and then does not make the time longer that a request has.
def dawdle(server, request):
    client = server.connect()
    start = time.monotonic()
    client.send(HELLO + request)
    assert client.answer()[0] == 200
    client.socket.settimeout(0.02)
    while True:
        assert time.monotonic() < start + LONG, "it would wait for ever"
        try:
            client.socket.recv(1, socket.MSG_PEEK)
            break
        except TimeoutError:
            client.send(b"x")
    assert time.monotonic() > start + 1.9, "it was in a hurry"
    client.socket.settimeout(LONG)
    client.file = client.socket.makefile("rb")
    assert client.answer()[0] == 408
    client.expect_end()
    client.close()
    return True

with Server("http_server", "--arrival", "2", "--idle", "100") as server:
    dawdlers = [background(dawdle, server, request) for request in (
        b"GET / HTTP/1.1\r\nFiller: ",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;",
    )]
    # Each request has its own time, though they come without a break; between them there is no such limit.
    client = server.connect()
    client.send(HELLO[:10])
    for _ in range(2):
        time.sleep(1.2)
        client.send(HELLO[10:] + HELLO[:10])
        assert client.answer()[0] == 200
    client.send(HELLO[10:])
    assert client.answer()[0] == 200
    time.sleep(2.3)
    client.send(HELLO)
    assert client.answer()[0] == 200
    client.close()
    for dawdler in dawdlers:
        dawdler()

with Server("http_server", "--arrival", "100", "--idle", "1") as server:
    # Nothing at all, and nothing more.
    start = time.monotonic()
    clients = [server.connect() for _ in range(3)]
    clients[1].send(HELLO)
    clients[2].send(HELLO + HELLO[:10])
    assert clients[1].answer()[0] == 200
    assert clients[2].answer()[0] == 200
    clients[0].expect_end()
    clients[1].expect_end()
    assert clients[2].answer()[0] == 408
    assert time.monotonic() > start + 0.9, "it was in a hurry"
    clients[2].expect_end()
    for client in clients:
        client.close()
    # Whoever says something now and then may stay.
    client = server.connect()
    for _ in range(8):
        time.sleep(0.2)
        client.send(HELLO)
        assert client.answer()[0] == 200
    client.close()
    # Whoever takes no answers is left.
    client = server.connect()
    request = b"POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
    try:
        for _ in range(100):
            client.send(request)
    except ConnectionError:
        pass
    else:
        assert False, "it keeps all answers"
    client.close()
    server.has_closed_all()
PYTHON

say "http_server: Ctrl-C"
python3 - <<'PYTHON'
from network import *

HELLO = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\n"

def in_flight(server, part):
    """A connection with a part of a request that the server has begun to read."""
    client = server.connect()
    client.send(HELLO + part)
    assert client.answer()[0] == 200
    return client

with Server("http_server") as server:
    idle = [server.connect() for _ in range(100)]
    for client in idle[50:]:
        client.send(HELLO)
        assert client.answer()[0] == 200
    head, body = in_flight(server, HELLO[:20]), in_flight(server, POST + b"12345")
    server.interrupt()
    for client in idle:
        client.expect_end()
    try:
        server.connect()
        assert False, "it still accepts"
    except ConnectionRefusedError:
        pass
    assert server.process.poll() is None, "it did not wait"
    head.send(HELLO[20:] + HELLO)
    code, headers, _ = head.answer()
    assert (code, headers["connection"]) == (200, "close"), (code, headers)
    head.expect_end()
    head.close()
    body.send(b"67890")
    code, headers, answer = body.answer()
    assert (code, headers["connection"], answer) == (200, "close", b"1234567890"), (code, headers, answer)
    body.expect_end()
    body.close()
    assert server.process.wait(LONG) == 0

# Without anything to wait for, and twice by somebody in a hurry.
with Server("http_server"):
    pass
with Server("http_server", status=1) as server:
    slow, idle = in_flight(server, HELLO[:20]), server.connect()
    idle.send(HELLO)
    assert idle.answer()[0] == 200
    server.interrupt()
    idle.expect_end()
PYTHON
for option in --idle --arrival; do
    refuses 'must be more than 0' http_server $option 0
    refuses 'invalid float' http_server $option soon
done

say "tls_server"
python3 - <<'PYTHON'
import ssl
from network import *

with Server("tls_server", "--cert", "cert.pem", reports="(tls_server: .*\n){2}") as server:
    for host in ("127.0.0.1", "localhost"):
        url = f"https://{host}:{server.port}/"
        assert curl("-4", "--cacert", "cert.pem", url) == b"Hello, world!\n"
        assert curl("-4", "-k", url) == b"Hello, world!\n"
    many = curl("--cacert", "cert.pem", "--parallel", url + "[1-50]")
    assert many == b"Hello, world!\n" * 50, many
    # It says that the answer has ended, so that nobody can cut it short.
    client = server.connect()
    stream = ssl.create_default_context(cafile="cert.pem").wrap_socket(
        client.socket, server_hostname="localhost", suppress_ragged_eofs=False)
    stream.sendall(b"GET / HTTP/1.1\r\n\r\n")
    answer = b""
    while part := stream.recv(1000):
        answer += part
    assert answer.endswith(b"\r\n\r\nHello, world!\n"), answer
    stream.close()
    # Nobody else knows the certificate.
    stranger = subprocess.run(["curl", "-s", "--noproxy", "*", url], timeout=LONG)
    assert stranger.returncode == 60, stranger
    # Who speaks no TLS is not understood.
    client = server.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    assert b"HTTP" not in client.rest()
    client.close()
    assert curl("-k", url) == b"Hello, world!\n"
    server.has_closed_all()
PYTHON
run 1 tls_server --cert missing/cert.pem
complains 'tls_server: missing/cert.pem: No such file or directory (os error 2)'

say "chat"
python3 - <<'PYTHON'
from network import *

def join(server, name, others=b"", **options):
    client = Client(server.port, **options)
    client.expect(b"* what is your name?\n")
    client.send(name + b"\n")
    client.expect(b"* here with you: " + others + b"\n" if others else b"* nobody else is here\n")
    return client

with Server("chat") as server:
    alice = join(server, b"alice")
    bob = server.connect()
    bob.send(b"alice\n")
    bob.expect(b"* what is your name?\n", b"* that name is taken\n")
    for name in (b"\n", b" \r\n", b"b" * 33 + b"\n", b"\7\n"):
        bob.send(name)
        bob.expect(b"* that is no name\n")
    bob.send(b"  bob\r\n")
    bob.expect(b"* here with you: alice\n")
    alice.expect(b"* bob is here\n")
    carol = join(server, "Carol \u20ac".encode(), b"alice, bob")
    for client in alice, bob:
        client.expect("* Carol \u20ac is here\n".encode())
    # To everybody else, and as text.
    alice.send(b"hello\r\n\r\n  \n\33[2Jcle\x00ar\7 \xff\n")
    for client in bob, carol:
        client.expect(b"alice: hello\n", "alice: [2Jclear \ufffd\n".encode())
    bob.send(b"a" * 1024 + b"b\n" + b"again\n")
    for client in alice, carol:
        client.expect(b"bob: " + b"a" * 1024 + b"\n", b"bob: b\n", b"bob: again\n")
    # Leaving politely, with a last word, and not.
    carol.send(b"bye")
    carol.finish()
    for client in alice, bob:
        client.expect("Carol \u20ac: bye\n".encode(), "* Carol \u20ac has left\n".encode())
    carol.expect_end()
    bob.reset()
    alice.expect(b"* bob has left\n")
    alice.close()
    server.has_closed_all()

    # One that does not read keeps nobody waiting.
    alice, bob = join(server, b"alice"), join(server, b"bob", b"alice")
    alice.expect(b"* bob is here\n")
    def said(number):
        return b"%09d" % number * 100 + b"\n"
    def join_and_sleep(name):
        """One that is dropped because it does not read; it, and which lines it may have missed."""
        slow = join(server, name, b"alice, bob", receive_buffer=4096)
        for client in alice, bob:
            client.expect(b"* %s is here\n" % name)
        for number in range(100_000):
            alice.send(said(number))
            line = bob.line()
            if line == b"* %s was too slow\n" % name:
                bob.expect(b"alice: " + said(number))
                alice.expect(line)
                return slow, number
            assert line == b"alice: " + said(number), line
        assert False, "it keeps everything for the one that does not read"
    def wakes_up(slow, number):
        """It still sees what was sent to it, and why there is no more."""
        for i in range(number):
            line = slow.line()
            if line == b"* you are too slow\n":
                break
            assert line == b"alice: " + said(i), line
        slow.expect_end()
        assert i > 64 and line == b"* you are too slow\n", (i, number, line)
    old, number = join_and_sleep(b"slow")
    # Its name is free again, and who has it now is not taken for it.
    new = join(server, b"slow", b"alice, bob")
    for client in alice, bob:
        client.expect(b"* slow is here\n")
    wakes_up(old, number)
    for _ in range(100):
        new.send(b"sorry\n")
        for client in alice, bob:
            client.expect(b"slow: sorry\n")

    new.close()
    for client in alice, bob:
        client.expect(b"* slow has left\n")
    # At the end there is still time for what was sent.
    slower, number = join_and_sleep(b"slower")
    server.interrupt()
    for client in alice, bob:
        client.expect(b"* the server goes home\n")
        client.expect_end()
    wakes_up(slower, number)
PYTHON

say "proxy"
python3 - <<'PYTHON'
from network import *

class Upstream:
    """A listener, and a proxy to it."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(LONG)
        self.port = self.listener.getsockname()[1]

    def accept(self):
        stream, _ = self.listener.accept()
        server = Client.__new__(Client)
        stream.settimeout(LONG)
        server.socket, server.file = stream, stream.makefile("rb")
        return server

upstream = Upstream()
data, answer = os.urandom(5 * 1024 * 1024), os.urandom(5 * 1024 * 1024)
with Server("proxy", "127.0.0.1:0", f"localhost:{upstream.port}") as proxy:
    def pair():
        client = proxy.connect()
        return client, upstream.accept()
    # Both directions at once.
    client, server = pair()
    got, given = background(client.rest), background(server.rest)
    other = background(lambda: [server.send(answer), server.finish()])
    client.send(data)
    client.finish()
    other()
    assert got() == answer and given() == data
    client.close(), server.close()
    # One direction ends, and the other goes on.
    for first, second in (pair(), pair()[::-1]):
        first.send(b"question")
        first.finish()
        assert second.rest() == b"question"
        got = background(first.rest)
        second.send(answer)
        second.finish()
        assert got() == answer
        first.close(), second.close()
    # Word by word.
    client, server = pair()
    for i in range(100):
        for a, b in (client, server), (server, client):
            a.send(b"%d\n" % i)
            b.expect(b"%d\n" % i)
    # When one breaks the connection, the other one's ends, though it has nothing to say.
    client.reset()
    server.expect_end()
    server.close()
    client, server = pair()
    client.send(b"hello\n")
    server.expect(b"hello\n")
    server.reset()
    client.expect_end()
    client.close()
    proxy.has_closed_all()
    # Also when the other one has not taken all of what there is, and never will.
    client, server = pair()
    server.socket.settimeout(0.2)
    try:
        while True:
            server.send(data)
    except TimeoutError:
        server.reset()
    client.send(b"are you there?\n")
    proxy.has_closed_all()
    client.close()
    # curl through it.
    with Server("http_server") as http, Server("proxy", "127.0.0.1:0", http.address) as through:
        assert curl(through.url) == b"Hello, world!"
        wrk(1, through.url)

upstream.listener.close()
refused = rf"proxy: 127\.0\.0\.1:{upstream.port}: Connection refused \(os error 111\)\n"
with Server("proxy", "127.0.0.1:0", f"127.0.0.1:{upstream.port}", reports=refused) as proxy:
    client = proxy.connect()
    client.expect_end()
    client.close()
PYTHON
refuses 'required arguments' proxy 127.0.0.1:0
