#!/usr/bin/env python3
"""Makes the benchmark corpora, always the same bytes:
corpus.py big DIR (one 2 GiB file) | small DIR (20,000 log files, about 670 MB) | many DIR (1,000,000 files of 7 bytes)."""
import os
import random
import sys


def log_lines(rng, size):
    hosts = [f"web-{n:02}" for n in range(20)]
    users = [f"user{n}" for n in range(200)]
    out, length, second = [], 0, 0
    while length < size:
        second += rng.randrange(3)
        line = (f"2026-11-{1 + second // 86400 % 28:02}T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}Z {rng.choice(hosts)} "
                f"sshd[{rng.randrange(400, 32000)}]: Accepted publickey for {rng.choice(users)} from 10.{rng.randrange(256)}.{rng.randrange(256)}."
                f"{rng.randrange(256)} port {rng.randrange(1024, 65536)} ssh2: ED25519 SHA256:{rng.getrandbits(256):064x}\n").encode()
        out.append(line)
        length += len(line)
    return b"".join(out)[:size]


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("big", "small", "many"):
        print(__doc__, file=sys.stderr)
        return 64
    rng, folder = random.Random(20261121), sys.argv[2]
    os.makedirs(folder, exist_ok=True)
    if sys.argv[1] == "big":
        text = log_lines(rng, 32 << 20)
        with open(os.path.join(folder, "big.bin"), "wb") as file:
            for _ in range(32):
                # half text that compresses, half noise that does not
                file.write(text)
                file.write(rng.randbytes(32 << 20))
    elif sys.argv[1] == "many":
        for number in range(1_000_000):
            sub = os.path.join(folder, f"{number // 1000:03}")
            if number % 1000 == 0:
                os.makedirs(sub, exist_ok=True)
            with open(os.path.join(sub, f"{number:06}"), "wb") as file:
                file.write(b"%06d\n" % number)
    else:
        text = log_lines(rng, 8 << 20)
        for number in range(20_000):
            sub = os.path.join(folder, f"{number // 500:02}")
            os.makedirs(sub, exist_ok=True)
            size = rng.choice((200, 1_000, 4_000, 16_000, 60_000, 120_000))
            at = rng.randrange(len(text) - size)
            with open(os.path.join(sub, f"app-{number:05}.log"), "wb") as file:
                file.write(text[at:at + size])
    return 0


if __name__ == "__main__":
    sys.exit(main())
