"""Headers that every answer of the API carries."""

import os

# As terraform/api_access.tf sets them on the answers that API Gateway gives by itself (OWASP's list for REST APIs).
SECURITY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def common(request_id: str) -> dict[str, str]:
    """Return the headers of an answer to ``request_id``; with CORS_ORIGIN set, pages of that origin may read it."""
    origin = os.environ.get("CORS_ORIGIN")
    cors = (
        {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "X-Request-Id"}
        if origin
        else {}
    )
    return {"X-Request-Id": request_id, **SECURITY, **cors}
