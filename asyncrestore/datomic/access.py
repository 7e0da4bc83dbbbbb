"""What helps when a server of Datomic cannot be reached or refuses access, by the bridge's name for that.

The names come from `jvm/asyncrestore/requests.clj`, `cloud.clj` and `peer_server.clj`.
"""

from __future__ import annotations

from asyncrestore.datomic.uri import ACCESS_KEY_VARIABLE, SECRET_VARIABLE
from asyncrestore.errors import AsyncRestoreError, NotAuthorized, NotFound, Unavailable, UsageError

_VPC = (
    "A newer system has an https endpoint: the output ClientApiGatewayEndpoint of its compute stack. That of "
    "an older one is inside its VPC: run this there, or through its access gateway with proxy-port."
)

ACCESS: dict[str, tuple[type[AsyncRestoreError], str]] = {
    "endpoint-unreachable": (Unavailable, _VPC),
    "endpoint-unresolved": (
        Unavailable,
        (f"Compare it with the outputs of the system's stack, and with the system's name. {_VPC}"),
    ),
    "not-datomic": (
        UsageError,
        (
            "Compare the endpoint with the outputs of the system's compute stack. A proxy between may "
            "answer, too."
        ),
    ),
    "region": (
        UsageError,
        ("Give the region of the system, such as region=us-east-1."),
    ),
    "keyfile-missing": (
        NotFound,
        (
            "Compare the names of the system and of the database, and the region: the system's key files "
            "are named by them."
        ),
    ),
    "keyfile-forbidden": (
        NotAuthorized,
        (
            "Without AWS credentials AWS refuses in the same words: set AWS_PROFILE, or AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY, or profile= in the URI. With them, allow s3:GetObject on that "
            "file. docs/cloud.md has the least policy for a backup and for a restore."
        ),
    ),
    "keyfile-unreachable": (
        Unavailable,
        (
            "The system's key files are in S3: this machine needs a way to S3 in the system's region. "
            "Then run the same command again."
        ),
    ),
    "profile-missing": (
        NotAuthorized,
        ("Name a profile of ~/.aws/credentials in profile= or AWS_PROFILE."),
    ),
    "credentials-refused": (
        NotAuthorized,
        ("Renew the AWS credentials, and look at this machine's clock."),
    ),
    "certificate": (
        NotAuthorized,
        (
            "Java must trust the server's certificate. For a peer server, name a file with it (PEM) in "
            "trust-certs, and set validate-hostnames=false if it is for another host. For Cloud it is "
            "that of a proxy between."
        ),
    ),
    "trust-certs": (
        UsageError,
        ("trust-certs names a file with one or more certificates in PEM."),
    ),
    "no-keys": (
        NotAuthorized,
        (f"Set {ACCESS_KEY_VARIABLE} and {SECRET_VARIABLE} to what the peer server was started with."),
    ),
    "keys-refused": (
        NotAuthorized,
        (
            f"Compare {ACCESS_KEY_VARIABLE} and {SECRET_VARIABLE} with what the peer server was started "
            "with, and the clocks of both machines."
        ),
    ),
    "system-refuses": (
        NotAuthorized,
        (
            "The keys in the system's key files are not those of what answers at the endpoint: compare the "
            "endpoint with the system, and this machine's clock."
        ),
    ),
    "not-served": (
        NotFound,
        (
            "Make the database with Datomic Pro, and start the peer server with it (-d DB,URI). Then run "
            "this again."
        ),
    ),
    "no-database": (
        NotFound,
        ("Compare the name; `asyncrestore info` with the URI without it lists what is there."),
    ),
    "server-unreachable": (
        Unavailable,
        ("Compare host and port, and look whether the peer server runs. Then run the same command again."),
    ),
    "no-tls": (
        UsageError,
        ("What answers at that host and port does not speak TLS, as a peer server does: compare both."),
    ),
    "database-gone": (
        NotFound,
        (
            "The database was deleted since it was opened, and perhaps made again. Run the same command "
            "again to use the one that is there now."
        ),
    ),
}
"""Class of the error, and hint, by name."""
