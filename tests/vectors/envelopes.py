"""The envelope as src/crypto/ENVELOPE.md describes it, written a second time: makes the known answers in envelopes.json.

python envelopes.py            opens and seals all that envelopes.json has, and says what does not fit
python envelopes.py --write    writes envelopes.json anew
"""

import base64
import hashlib
import hmac
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

ANSWERS = Path(__file__).with_name("envelopes.json")

SUITES = {"randomized": 1, "deterministic": 2, "indexed": 4}


def subkey(secret: bytes, purpose: bytes) -> bytes:
    """HKDF-SHA-256 of RFC 5869, for one block."""
    extracted = hmac.digest(b"pgveil data key v1", secret, "sha256")
    return hmac.digest(extracted, purpose + b"\x01", "sha256")


def with_length(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part


def associated_data(head: bytes, domain: str, tenant: bytes | None) -> bytes:
    bound = head + with_length(domain.encode())
    return bound + (b"\x00" if tenant is None else b"\x01" + with_length(tenant))


def address(suite: int, key_id: bytes) -> bytes:
    return b"PV\x01" + bytes([suite]) + key_id


def digest(key: bytes, associated: bytes, plaintext: bytes) -> bytes:
    return hmac.digest(key, with_length(associated) + plaintext, "sha256")


def seal(secret, key_id, mode, nonce, domain, tenant, plaintext) -> bytes:
    """The envelope of a plaintext; `nonce` is of no account in the deterministic mode."""
    head = address(SUITES[mode], key_id)
    if mode == "indexed":
        head += blind_index(secret, key_id, domain, tenant, plaintext)
    associated = associated_data(head, domain, tenant)
    if mode == "deterministic":
        nonce = digest(subkey(secret, b"nonce"), associated, plaintext)[:12]
    return head + nonce + aes_gcm_siv(subkey(secret, b"encryption"), nonce, plaintext, associated)


def aes_gcm_siv(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    if plaintext:
        return AESGCMSIV(key).encrypt(nonce, plaintext, associated)
    return tag_of_nothing(key, nonce, associated)


def tag_of_nothing(key: bytes, nonce: bytes, associated: bytes) -> bytes:
    """What the package refuses to encrypt, an empty plaintext, by RFC 8452 sections 4 and 5."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    def aes(under: bytes, block: bytes) -> bytes:
        return Cipher(algorithms.AES(under), modes.ECB()).encryptor().update(block)

    derived = b"".join(aes(key, n.to_bytes(4, "little") + nonce)[:8] for n in range(6))
    authentication, encryption = derived[:16], derived[16:]
    padded = associated + bytes(-len(associated) % 16) + (len(associated) * 8).to_bytes(8, "little") + bytes(8)
    total = 0
    for at in range(0, len(padded), 16):
        total = dot(total ^ int.from_bytes(padded[at:at + 16], "little"), int.from_bytes(authentication, "little"))
    summed = bytearray(total.to_bytes(16, "little"))
    for at, byte in enumerate(nonce):
        summed[at] ^= byte
    summed[15] &= 0x7F
    return aes(encryption, bytes(summed))


def dot(a: int, b: int) -> int:
    """a * b * x^-128 in the field of POLYVAL (RFC 8452 section 3), where bit n stands for x^n."""
    modulus = (1 << 128) | (1 << 127) | (1 << 126) | (1 << 121) | 1
    product = 0
    for bit in range(128):
        if b >> bit & 1:
            product ^= a << bit
    for _ in range(128):
        product = (product ^ modulus if product & 1 else product) >> 1
    return product


def open_envelope(secret, domain, tenant, envelope: bytes) -> bytes:
    end = 27 if envelope[3] == SUITES["indexed"] else 12
    associated = associated_data(envelope[:end], domain, tenant)
    return AESGCMSIV(subkey(secret, b"encryption")).decrypt(envelope[end:end + 12], envelope[end + 12:], associated)


def blind_index(secret, key_id, domain, tenant, plaintext) -> bytes:
    associated = associated_data(address(SUITES["indexed"], key_id), domain, tenant)
    return digest(subkey(secret, b"blind index"), associated, plaintext)[:15]


def text_form(envelope: bytes) -> str:
    return "pgveil:" + base64.b64encode(envelope).decode().rstrip("=")


def answer(case: dict) -> dict:
    """What comes out of a case, in hex and in the text form."""
    secret, key_id, nonce, plaintext = (bytes.fromhex(case[name]) for name in ("secret", "key_id", "nonce", "plaintext"))
    tenant = None if case["tenant"] is None else bytes.fromhex(case["tenant"])
    envelope = seal(secret, key_id, case["mode"], nonce, case["domain"], tenant, plaintext)
    assert open_envelope(secret, case["domain"], tenant, envelope) == plaintext
    index = base64.b64encode(blind_index(secret, key_id, case["domain"], tenant, plaintext)).decode()
    assert (text_form(envelope)[23:43] == index) == (case["mode"] == "indexed")
    return {
        "envelope": envelope.hex(),
        "text": text_form(envelope),
        "blind_index": index,
    }


def cases() -> list[dict]:
    plaintexts = [b"", b"\x00", b"jane@example.org", "zażółć gęślą jaźń 😀".encode(), bytes(range(256)), b"x" * 1000]
    bounds = [("email", None), ("email", b""), ("5f2c6f0e-7d0b-4b8e-9c57-0f3a8f4a2b11", b"tenant 7"), ("", None), ("żółć", None)]
    found = []
    for mode in SUITES:
        for domain, tenant in bounds:
            for plaintext in plaintexts:
                seed = hashlib.sha512(str((mode, domain, tenant, plaintext)).encode()).digest()
                found.append({
                    "secret": seed[:32].hex(), "key_id": seed[32:40].hex(), "mode": mode, "nonce": seed[40:52].hex(),
                    "domain": domain, "tenant": None if tenant is None else tenant.hex(), "plaintext": plaintext.hex(),
                })
    return found


def main() -> int:
    if sys.argv[1:] == ["--write"]:
        lines = ",\n".join(json.dumps(case | answer(case), ensure_ascii=False) for case in cases())
        ANSWERS.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        return 0
    wrong = 0
    known = json.loads(ANSWERS.read_text(encoding="utf-8"))
    for case in known:
        for name, value in json.loads(json.dumps(answer(case))).items():
            if case[name] != value:
                wrong += 1
                print(f"{name} of {case['plaintext'][:40]} in {case['domain']!r}: {value} is not {case[name]}")
    print(f"{len(known)} envelopes, {wrong} wrong")
    return 1 if wrong or not known else 0


if __name__ == "__main__":
    sys.exit(main())
