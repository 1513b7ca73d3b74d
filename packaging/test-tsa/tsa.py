#!/usr/bin/env python3
"""A real RFC 3161 time-stamping authority for tests and the demo: openssl behind http.server, on loopback.

usage: tsa.py FOLDER [--port N]

Makes FOLDER/ca.pem (to pin) and the rest on first use, writes host:port to FOLDER/address when it listens, answers
POST application/timestamp-query until it is ended. FOLDER/mode, read at each request, makes it misbehave for tests:
`refuse` (status 2), `silent` (no answer), `other` (a stamp for another digest), `unsigned` (the last byte of the signature is
altered), `error` (HTTP 500), `lax` (a length that is not DER), `long` (over 16 KiB of status text), `spare` (a certificate that is not
of its chain).
Not for production: its keys lie beside it.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

QUERY_BYTES_MAX = 64 << 10

CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
O = Exhibit test
CN = {name}
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[tsa]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[tsa_config]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
certs = {folder}/ca.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256, sha384, sha512
accuracy = secs:1
ordering = no
tsa_name = no
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


def openssl(*arguments, stdin=None):
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def make(folder):
    """Keys and certificates: a CA to pin, and the authority's own."""
    if (folder / "tsa.pem").exists():
        return
    for name in ("ca", "tsa"):
        (folder / f"{name}.cnf").write_text(CONFIG.format(name=f"Exhibit test {name}", folder=folder))
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", folder / f"{name}.key")
        (folder / f"{name}.key").chmod(0o600)
    openssl("req", "-new", "-x509", "-days", 400, "-key", folder / "ca.key", "-config", folder / "ca.cnf",
            "-extensions", "ca", "-out", folder / "ca.pem")
    openssl("req", "-new", "-key", folder / "tsa.key", "-config", folder / "tsa.cnf", "-out", folder / "tsa.csr")
    (folder / "serial").write_text("01\n")
    openssl("x509", "-req", "-days", 400, "-in", folder / "tsa.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key",
            "-set_serial", 2, "-extfile", folder / "tsa.cnf", "-extensions", "tsa", "-out", folder / "tsa.pem")


def der(tag, content):
    return bytes([tag, 0x82]) + len(content).to_bytes(2, "big") + content


def spare(folder):
    """Another configuration, whose answers hold a certificate of nobody in the chain."""
    openssl("req", "-new", "-x509", "-days", 400, "-key", folder / "tsa.key", "-config", folder / "tsa.cnf",
            "-extensions", "ca", "-out", folder / "other.pem")
    (folder / "spare.pem").write_text((folder / "ca.pem").read_text() + (folder / "other.pem").read_text())
    config = (folder / "tsa.cnf").read_text()
    (folder / "spare.cnf").write_text(config.replace(f"certs = {folder}/ca.pem", f"certs = {folder}/spare.pem"))
    return "spare.cnf"


def reply(folder, query, config="tsa.cnf"):
    with tempfile.NamedTemporaryFile(suffix=".tsq") as file:
        file.write(query)
        file.flush()
        return openssl("ts", "-reply", "-queryfile", file.name, "-config", folder / config, "-section", "tsa_config")


class Handler(BaseHTTPRequestHandler):
    folder = pathlib.Path()

    def do_POST(self):
        mode_file = self.folder / "mode"
        mode = mode_file.read_text().strip() if mode_file.exists() else ""
        length = int(self.headers.get("Content-Length", "0"))
        if self.headers.get("Content-Type") != "application/timestamp-query" or not 0 < length <= QUERY_BYTES_MAX:
            return self.send_error(400)
        query = self.rfile.read(length)
        if mode == "silent":
            time.sleep(30)
            return None
        if mode == "error":
            return self.send_error(500)
        if mode == "refuse":
            answer = bytes.fromhex("30053003020102")
        elif mode == "other":
            answer = reply(self.folder, openssl("ts", "-query", "-sha256", "-cert", "-digest", "00" * 32))
        elif mode == "unsigned":
            # The signature stands last in the response: nothing follows the one signer's.
            answer = reply(self.folder, query)
            answer = answer[:-1] + bytes([answer[-1] ^ 1])
        elif mode == "spare":
            answer = reply(self.folder, query, spare(self.folder))
        else:
            answer = reply(self.folder, query)
        if mode == "lax":
            answer = b"\x30\x83\x00" + answer[2:]
        elif mode == "long":
            # The token follows the status, which has five bytes.
            status = der(0x30, b"\x02\x01\x00" + der(0x30, der(0x0c, b"x" * (16 << 10))))
            answer = der(0x30, status + answer[9:])
        self.send_response(200)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        return None

    def log_message(self, format, *arguments):
        sys.stderr.write(f"tsa: {format % arguments}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "address").unlink(missing_ok=True)
    make(folder)
    Handler.folder = folder
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    server.daemon_threads = True
    # Whole or not there: who waits for the file may read it at once.
    new = folder / "address.new"
    new.write_text(f"127.0.0.1:{server.server_address[1]}\n")
    new.rename(folder / "address")
    server.serve_forever()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
