"""A client of other people's making: gRPC's own library for Python, whose TLS is BoringSSL, against both listeners of a collector.
It logs a person in by the text of docs/spec/enrolment.md alone, with `cryptography` and ssh-keygen, then asks the main listener who it is.
usage: shake.py FOLDER ENROL_ADDRESS MAIN_ADDRESS DEPLOYMENT CA.pem PERSON PERSONS_KEY; exit 0 when all of it holds."""
import base64
import datetime
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec

DER, PEM = form.Encoding.DER, form.Encoding.PEM


def field(number, data):
    """One field of bytes, as protobuf writes it."""
    length, head = len(data), [number << 3 | 2]
    while length > 127:
        head, length = [*head, length & 127 | 128], length >> 7
    return bytes([*head, length]) + data


def fields(data):
    """The fields of a message that has bytes only."""
    while data:
        number, length, shift, at = data[0] >> 3, 0, 0, 1
        while True:
            length, shift, at = length | (data[at] & 127) << shift, shift + 7, at + 1
            if data[at - 1] < 128:
                break
        yield number, data[at:at + length]
        data = data[at + length:]


def call(address, method, message, **identity):
    """The answer to one call. The listener must prove to BoringSSL that it is a collector of that authority."""
    credentials = grpc.ssl_channel_credentials(root_certificates=ca, **identity)
    options = [("grpc.ssl_target_name_override", "collector.exhibit.invalid")]
    with grpc.secure_channel(address, credentials, options=options) as channel:
        return channel.unary_unary(f"/exhibit.v1.{method}")(message, timeout=30)


def request(key, challenge):
    text = base64.b64encode(challenge)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_attribute(x509.oid.AttributeOID.CHALLENGE_PASSWORD, text)
    return builder.sign(key, hashes.SHA256()).public_bytes(DER)


def login(challenge, key, csr):
    """A login that names the key and the request, signed by the person."""
    spki = key.public_key().public_bytes(DER, form.PublicFormat.SubjectPublicKeyInfo)
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    document = folder / "login.json"
    document.write_text(json.dumps({
        "type": "exhibit-login-v1", "deployment": deployment, "person": person,
        "challenge": base64.b64encode(challenge).decode(), "tls_spki_sha256": hashlib.sha256(spki).hexdigest(),
        "csr_sha256": hashlib.sha256(csr).hexdigest(), "at": now.replace("+00:00", "Z")}, separators=(",", ":")) + "\n")
    signature = folder / "login.json.sig"
    signature.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", "exhibit-login-v1", "-f", persons_key, document], check=True)
    return field(1, field(1, document.read_bytes()) + field(2, signature.read_bytes()))


def refused(what, ask):
    try:
        ask()
    except grpc.RpcError as error:
        print(f"tried: {what}; got: {error.code().name} ({error.details()})")
        return error
    sys.exit(f"{what} was taken")


def ask_challenge():
    [(_, challenge)] = fields(call(enrol, "EnrolService/LoginChallenge", field(1, person.encode())))
    return challenge


folder, (enrol, main, deployment) = Path(sys.argv[1]), sys.argv[2:5]
ca, person, persons_key = Path(sys.argv[5]).read_bytes(), sys.argv[6], sys.argv[7]
key = ec.generate_private_key(ec.SECP256R1())

# The wrong requests first: each is made for another challenge, or signed by another key.
other = ec.generate_private_key(ec.SECP256R1())
for what, of, nonce in (("a request for an earlier challenge", key, ask_challenge()), ("a request of another key", other, None)):
    challenge = ask_challenge()
    csr = request(of, nonce or challenge)
    error = refused(what, lambda: call(enrol, "EnrolService/Login", login(challenge, key, csr) + field(2, csr)))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT and "than the document names" in error.details(), error

challenge = ask_challenge()
csr = request(key, challenge)
answer = call(enrol, "EnrolService/Login", login(challenge, key, csr) + field(2, csr))
chain = b"".join(x509.load_der_x509_certificate(der).public_bytes(PEM) for _, der in fields(answer))
refused("the main listener without a certificate", lambda: call(main, "EndpointService/Deployment", b""))
private = key.private_bytes(PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
told = call(main, "EndpointService/Deployment", b"", private_key=private, certificate_chain=chain)
assert field(1, deployment.encode()) in told, told
print(f"gRPC {grpc.__version__} shook hands with both listeners as {person} of {deployment}")
