"""An OpenID Connect issuer on loopback: keys made here, discovery and JWKS over HTTP, and tokens."""

import http.server
import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

AUDIENCE = "ev-swap-api"


class Issuer:
    """See the module. ``requests`` counts what was asked of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests = 0
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.rotate()

    def rotate(self) -> None:
        """Publish a new key alone; tokens are signed with it from now on."""
        self.keys = {uuid.uuid4().hex: rsa.generate_private_key(public_exponent=65537, key_size=2048)}

    def document(self, path: str) -> Any:
        """Return what it serves at ``path``."""
        self.requests += 1
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        algorithm = jwt.algorithms.RSAAlgorithm
        return {
            "keys": [
                algorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid, "use": "sig", "alg": "RS256"}
                for kid, key in self.keys.items()
            ]
        }

    def token(self, scope: str = "read", *, key: Any = None, algorithm: str = "RS256", **claims: Any) -> str:
        """Make an access token for an hour; a claim that is given as None is left out."""
        [(kid, own)] = self.keys.items()
        said = {
            "iss": self.url,
            "sub": "tester",
            "aud": AUDIENCE,
            "exp": int(time.time()) + 3600,
            "scope": scope,
        } | claims
        present = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(present, key or own, algorithm, headers={"kid": kid})


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """Serve an issuer until the end of the block."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(issuer.document(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
