"""What an operator is told of a bucket that cannot be read: which bucket and key, why, and what to do next."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pacs_recover.errors import SourceError
from pacs_recover.sources.s3.place import Place
from pacs_recover.text import count, safe


class Told(NamedTuple):
    """A cause in plain words, and the next action."""

    reason: str
    hint: str


class Unreadable(SourceError):
    """A bucket or an object that could not be read; ``code`` is the server's or the library's word for it."""

    def __init__(self, place: Place, code: str, told: Told, doing: str = "read", *, is_answer: bool = False) -> None:
        super().__init__(f"cannot {doing} {place}: {told.reason}", told.hint)
        self.code = code
        self.told = told
        self.is_answer = is_answer
        """Whether a server said so, and not the connection or the library."""


KEY = "which credentials are used: profile and role of the source, else AWS_* variables, ~/.aws, the instance's role"
LOGIN = "get new ones (aws sso login, or new session variables), then try again"
AGAIN = "try again in a minute; if it stays, ask whoever runs the S3 server"
REACH = "is the endpoint of the source right, the server up, and no firewall between?"
LIST = "allow s3:ListBucket on the bucket for this prefix"
VERSIONS = "allow s3:ListBucketVersions on the bucket"
READ = "allow s3:GetObject (of a version s3:GetObjectVersion; kms:Decrypt where a KMS key encrypts it)"
THAW = "allow s3:RestoreObject on the bucket's objects"
REMOVE = "allow s3:DeleteObject on the bucket's objects"
TELL_TIERS = "allow s3:GetLifecycleConfiguration on the bucket"
SET_TIERS = "allow s3:PutLifecycleConfiguration on the bucket"
ROLE = "may these credentials assume the role (sts:AssumeRole, and the role's trust policy)?"

DENIED = ("AccessDenied", "AllAccessDisabled", "AccessDeniedException", "Forbidden", "403")
ALLOW = {
    "ListObjectsV2": ("it may not be listed", LIST),
    "ListObjectVersions": ("its versions may not be listed", VERSIONS),
    "GetObject": ("it may not be read (or does not exist, which S3 hides from who may not list)", READ),
    "HeadObject": ("it may not be read (or does not exist, which S3 hides from who may not list)", READ),
    "RestoreObject": ("it may not be thawed", THAW),
    "DeleteObject": ("it may not be removed", REMOVE),
    "GetBucketLifecycleConfiguration": ("its lifecycle may not be read", TELL_TIERS),
    "PutBucketLifecycleConfiguration": ("its lifecycle may not be changed", SET_TIERS),
}
GONE = ("NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed", "NotFound")
"""MethodNotAllowed is the answer to who reads a delete marker."""
REPLACED = ("PreconditionFailed", "412", "InvalidRange", "416")
BUSY = ("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "500", "502", "503", "504")

OBJECT: Mapping[tuple[str, ...], tuple[str, Told]] = {
    GONE: ("NoSuchKey", Told("it is not there any more", "see: pacs-recover catalog")),
    REPLACED: (
        "PreconditionFailed",
        Told("it was replaced since it was listed", "list the catalog and plan again"),
    ),
    ("InvalidObjectState",): (
        "InvalidObjectState",
        Told("it is archived and not thawed", "thaw it first: pacs-recover thaw ID"),
    ),
}
"""What happened to an object, by the codes that servers have for it."""

SAID: Mapping[str, Told] = {
    "InvalidAccessKeyId": Told("the server does not know the access key", KEY),
    "InvalidClientTokenId": Told("the server does not know the access key", KEY),
    "UnrecognizedClientException": Told("the server does not know the access key", KEY),
    "SignatureDoesNotMatch": Told("the secret key is wrong (or a proxy changes the requests)", KEY),
    "AuthFailure": Told("the credentials are wrong", KEY),
    "ExpiredToken": Told("the session credentials have expired", LOGIN),
    "ExpiredTokenException": Told("the session credentials have expired", LOGIN),
    "TokenRefreshRequired": Told("the session credentials have expired", LOGIN),
    "InvalidToken": Told("the session token is not valid", LOGIN),
    "NoSuchBucket": Told(
        "there is no such bucket", "is the bucket's name right, and the endpoint the one that has it?"
    ),
    "InvalidBucketName": Told("that is no name of a bucket", "correct the bucket of the source in the site file"),
    "NotImplemented": Told("the server cannot do that", "is it an S3 server?"),
    "AllAccessDisabled": Told("access is disabled by the provider", "ask whoever runs the S3 server"),
}
"""By the error code of the server's answer."""

LOCAL: Mapping[str, Told] = {
    "NoCredentialsError": Told("there are no credentials", KEY),
    "PartialCredentialsError": Told("the credentials are incomplete", KEY),
    "CredentialRetrievalError": Told("the credentials could not be had", KEY),
    "MetadataRetrievalError": Told("the instance's credentials could not be had", KEY),
    "SSOTokenLoadError": Told("nobody is logged in (SSO)", "aws sso login, with the profile of the source"),
    "UnauthorizedSSOTokenError": Told("the SSO login has expired", "aws sso login, with the profile of the source"),
    "TokenRetrievalError": Told("the SSO login has expired", "aws sso login, with the profile of the source"),
    "NoAuthTokenError": Told("nobody is logged in (SSO)", "aws sso login, with the profile of the source"),
    "SSOError": Told("the SSO login failed", "aws sso login, with the profile of the source"),
    "LoginError": Told("the login has expired or failed", "aws login, with the profile of the source"),
    "ProfileNotFound": Told("there is no such AWS profile", "see: aws configure list-profiles (as this user, root?)"),
    "ConfigParseError": Told("the AWS configuration file cannot be read", "correct ~/.aws/config"),
    "NoRegionError": Told("the region is not known", "name the region of the source in the site file"),
    "InvalidRegionError": Told("that is no region", "correct the region of the source in the site file"),
    "ConnectTimeoutError": Told("the server does not answer (time-out on connecting)", REACH),
    "ReadTimeoutError": Told("the server stopped answering (time-out on reading)", AGAIN),
    "ProxyConnectionError": Told(
        "the proxy cannot be reached or refuses", "correct HTTPS_PROXY, or name it in NO_PROXY"
    ),
    "InvalidProxiesConfigError": Told("the proxy settings are not valid", "correct HTTPS_PROXY"),
    "ConnectionClosedError": Told("the connection was broken", AGAIN),
    "ResponseStreamingError": Told("the connection was broken", AGAIN),
    "IncompleteReadError": Told("the server sent less than it said", AGAIN),
    "ProtocolError": Told("the connection was broken", AGAIN),
    "ResponseParserError": Told("the answer is not that of an S3 server", "is the endpoint of the source right?"),
    "RecursionError": Told("the server sends every request elsewhere", "is the endpoint of the source right?"),
    "PaginationError": Told("the server gives the same page for ever", "ask whoever runs the S3 server"),
    "ParamValidationError": Told("the bucket's name or the key is not valid", "correct the source in the site file"),
    "MissingDependencyException": Told("this kind of credentials needs a library that is not installed", KEY),
}
"""By the name of the library's exception, or of one that it inherits."""


def unreadable(place: Place, error: BaseException, doing: str = "read") -> Unreadable:
    """What to tell of an exception of AWS's library (or of a connection) at this place."""
    code, told = _cause(error)
    return Unreadable(place, code, told, doing, is_answer=isinstance(getattr(error, "response", None), dict))


def _cause(error: BaseException) -> tuple[str, Told]:
    wrapped = getattr(error, "kwargs", {}).get("error")
    if isinstance(wrapped, RecursionError):  # redirects that follow each other end wherever the stack does
        error = wrapped
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        said = response.get("Error") or {}
        return _answered(str(said.get("Code") or ""), response, getattr(error, "operation_name", ""))
    names = [kind.__name__ for kind in type(error).__mro__]
    if "SSLError" in names or "SSLCertVerificationError" in names:
        return "SSLError", _tls(str(error))
    if "EndpointConnectionError" in names:
        return "EndpointConnectionError", _not_reached(error)
    found = next((name for name in names if name in LOCAL), "")
    if found:
        return found, LOCAL[found]
    return names[0], Told(f"{names[0]}: {safe(error)}", "correct the source in the site file, or see the log")


def _answered(code: str, response: Mapping[str, Any], operation: str) -> tuple[str, Told]:
    """What the server's own error answer means."""
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if not code:
        return "ResponseParserError", LOCAL["ResponseParserError"]
    if code in SAID:
        return code, SAID[code]
    if operation == "AssumeRole" and code in DENIED:
        return "NotAssumed", Told("access denied: the role may not be assumed", ROLE)
    if code in DENIED:
        reason, hint = ALLOW.get(operation, ("access is denied", READ))
        return "AccessDenied", Told(f"access denied: {reason}", hint)
    for codes, (name, told) in OBJECT.items():
        if code in codes:
            return name, told
    if code in ("RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"):
        return "RequestTimeTooSkewed", _skewed(headers)
    if code in ("PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "301", "307"):
        return "PermanentRedirect", _elsewhere(response, headers)
    if code in BUSY:
        return "ServiceUnavailable", Told(f"the server is in trouble or busy ({safe(code)})", AGAIN)
    said = safe(response["Error"].get("Message", ""))
    return code, Told(f"the server answers {safe(code)}: {said}", "ask whoever runs the S3 server")


def _skewed(headers: Mapping[str, str]) -> Told:
    """How far apart the clocks are, by the answer's own date."""
    from email.utils import parsedate_to_datetime

    fix = "set this host's clock (timedatectl, chronyc makestep); the server takes no request from another time"
    try:
        off = datetime.now(UTC) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return Told("this host's clock and the server's differ too much", fix)
    side = "ahead of" if off > timedelta() else "behind"
    return Told(f"this host's clock is {count(abs(off) // timedelta(minutes=1), 'minute')} {side} the server's", fix)


def _elsewhere(response: Mapping[str, Any], headers: Mapping[str, str]) -> Told:
    region = str(headers.get("x-amz-bucket-region") or response["Error"].get("Region") or "")
    if re.fullmatch(r"[a-z0-9-]{1,40}", region):
        return Told(f"the bucket is in the region {region}", f"write region: {region} into the source in the site file")
    return Told("the bucket is in another region or at another endpoint", "correct region or endpoint of the source")


def _tls(said: str) -> Told:
    """Why a TLS connection was refused; the library says it in the middle of a long sentence."""
    bundle = "name the authority's certificate as ca_bundle of the source"
    if "Hostname mismatch" in said or "doesn't match" in said or "is not valid for" in said:
        return Told("TLS: the certificate is for another host name", "is the endpoint of the source right?")
    if "certificate has expired" in said or "not yet valid" in said:
        return Told("TLS: the certificate has expired or is not yet valid", "is this host's clock right? else renew it")
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return Told("TLS: the certificate is of an authority that this host does not trust", bundle)
    if "WRONG_VERSION_NUMBER" in said or "RECORD_LAYER" in said:
        return Told("TLS: the server does not speak TLS there", "should the endpoint begin with http:// ?")
    return Told("TLS: the handshake failed", "is it the right port, and is a proxy or firewall in between?")


def _not_reached(error: BaseException) -> Told:
    """Why no connection came about: the name, the port, or a proxy that is set."""
    said = f"{error} {getattr(error, 'kwargs', {}).get('error', '')}"
    address = urlsplit(str(getattr(error, "kwargs", {}).get("endpoint_url", ""))).netloc.rpartition("@")[2]
    where = safe(address) or "the server"
    proxies = sorted({name.upper() for name in os.environ if name.upper() in ("HTTP_PROXY", "HTTPS_PROXY")})
    via = f" ({' and '.join(proxies)} set: is the proxy right?)" if proxies else ""
    if "NameResolution" in said or "getaddrinfo" in said or "Name or service not known" in said:
        return Told(f"the name of {where} cannot be resolved", f"is the endpoint right, and does DNS work?{via}")
    if "refused" in said:
        return Told(f"{where} refuses the connection", REACH + via)
    return Told(f"{where} cannot be reached", REACH + via)
