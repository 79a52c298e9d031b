"""Private keys: which public key they belong to. Nothing of a key but that, its kind and its size leaves here."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)
from msgspec import Struct

LARGEST = 32 << 10
"""Bytes of a key that is looked at; RSA of 16,384 bits takes 13,000."""
CHECKED_BITS = 4096
"""RSA keys up to this size are checked for soundness, 0.3 s each; the effort grows with the fourth power."""


class PrivateKey(Struct, frozen=True, kw_only=True):
    """What is known of one private key."""

    file: str
    """Relative to the directory that was read."""
    kind: str
    """``RSA 2048``, ``EC secp256r1``, ``Ed25519``; empty where it cannot be told."""
    public: bytes | None
    """Its public key as SubjectPublicKeyInfo, DER; None for an encrypted or unreadable one."""
    encrypted: bool = False
    problem: str = ""
    """Why it cannot be used, in words that hold nothing of it."""


def from_pem(text: bytes, file: str) -> PrivateKey:
    """One PEM block that says it is a private key."""
    if b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in text or b"Proc-Type: 4,ENCRYPTED" in text:
        return PrivateKey(file=file, kind="", public=None, encrypted=True)
    if b"-----BEGIN OPENSSH PRIVATE KEY-----" in text:
        return PrivateKey(file=file, kind="", public=None, problem="is a key for SSH, not for TLS")
    return _read(text, file, pem=True)


def from_der(data: bytes, file: str) -> PrivateKey | None:
    """A whole file as a DER key; None where it is none."""
    found = _read(data, file, pem=False)
    return None if found.problem else found


def _read(data: bytes, file: str, *, pem: bool) -> PrivateKey:
    """The errors' own texts are not passed on: nobody promises what they quote."""
    if len(data) > LARGEST:
        return PrivateKey(file=file, kind="", public=None, problem="is too large for a private key")
    try:
        key = _load(data, pem)
        return PrivateKey(file=file, kind=kind(key.public_key()), public=public_bytes(key.public_key()))
    except TypeError:
        return PrivateKey(file=file, kind="", public=None, encrypted=True)
    except UnsupportedAlgorithm:
        return PrivateKey(file=file, kind="", public=None, problem="is of a kind that cannot be read here")
    except ValueError:
        return PrivateKey(file=file, kind="", public=None, problem="is damaged: no private key can be read from it")


def _load(data: bytes, pem: bool) -> PrivateKeyTypes:
    load = load_pem_private_key if pem else load_der_private_key
    key = load(data, None, unsafe_skip_rsa_key_validation=True)
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size <= CHECKED_BITS:
        return load(data, None)
    return key


def public_bytes(key: PublicKeyTypes) -> bytes:
    """A public key in the one form in which two of them can be compared."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def kind(key: PublicKeyTypes) -> str:
    """``RSA 2048``, ``EC secp256r1``, ``Ed25519`` …"""
    name = type(key).__name__.removesuffix("PublicKey").removeprefix("_")
    curve, size = getattr(key, "curve", None), getattr(key, "key_size", None)
    if curve is not None:
        return f"EC {curve.name}"
    return f"{name} {size}" if size is not None else name
