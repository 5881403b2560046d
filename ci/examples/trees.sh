# Trees of files for the examples that hash: every kind of name and entry, a deep one, unreadable ones,
# one of 100 000 files.

python3 - <<'PYTHON'
import os, socket
os.makedirs(b"odd/sub.d/empty")
os.mkdir(b"odd/sub")
# `sub.d` sorts before `sub/`, though `sub` is the lesser component.
names = [b"plain", b"sub/x", b"sub.d/x", b"a b", b"-n", b"back\\slash", b"new\nline", b"return\r", b"\\",
         b"\xff\xfe not UTF-8", "\u20ac".encode(), b"*?[", b"tab\t", b" lead", b"trail ", b".hidden"]
for i, name in enumerate(names):
    open(b"odd/" + name, "wb").write(name * i)
# Around the buffer's 64 KiB, and a hole.
for size in (65535, 65536, 65537, 10_000_000):
    open(f"odd/{size}", "wb").write(os.urandom(size))
os.truncate("odd/plain", 3_000_000)
os.symlink("plain", "odd/link to file")
os.symlink("..", "odd/link to directory")
os.symlink("nowhere", "odd/link to nothing")
os.mkfifo("odd/pipe")
socket.socket(socket.AF_UNIX).bind("odd/socket")
for d in range(1000):
    os.makedirs(f"many/{d % 10}/{d}")
    for f in range(100):
        with open(f"many/{d % 10}/{d}/{f}", "w") as file:
            file.write(f"{d} {f}\n" * (f + 1))
for d in range(10):
    with open(f"many/{d}/large", "wb") as file:
        file.truncate(50_000_000)
PYTHON
# Deeper than a goroutine's stack can follow by recursion, and within PATH_MAX.
deep=deep/$(printf 'd/%.0s' {1..1900})
mkdir -p "$deep"
echo end >"$deep/end"
mkdir -p locked/closed
echo a >locked/closed/a
echo b >locked/secret
echo c >locked/open
chmod 000 locked/closed locked/secret

# What `sha256sum` says of all files at or below a path, sorted by name.
expected() {
    find "$1" -type f -print0 | sort -z | xargs -0r sha256sum
}
