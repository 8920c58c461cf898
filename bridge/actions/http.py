"""The ``http`` action: a POST of the payload a message.

AWS sends to destinations that were confirmed (``ConfirmTopicRuleDestination``); here the confirmation is left out,
since who writes the rule owns the machine. Signed requests (``auth``) and batches are not supported, and refused.
"""

import urllib.error
import urllib.request
from collections.abc import Sequence

from bridge.actions.base import Services
from bridge.actions.parameters import Parameters
from bridge.messages import Failure, Outgoing
from bridge.sql import RuleSqlError

# AWS waits so long for an answer ("HTTP action", developer guide).
_SECONDS = 3.0

# What a later try may cure.
_PASSING = {408, 429}


class HttpAction:
    """Posts to one URL; URL and header values are substitution templates."""

    name = "http"
    max_batch = 1

    def __init__(self, parameters: Parameters, services: Services) -> None:  # noqa: ARG002  # a Builder
        """Read url, confirmationUrl (of no use here) and headers; URLs and values of headers are templates."""
        self._url = parameters.template("url")
        if not self._url.template.startswith(("http://", "https://")):
            raise parameters.refused("url", "must begin with http:// or https://")
        parameters.template("confirmationUrl", "")
        self._headers = {
            header.literal("key").lower(): header.template("value")
            for header in parameters.structures("headers")
        }

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return [self._post(outgoing) for outgoing in batch]

    def _post(self, outgoing: Outgoing) -> Failure | None:
        resource = self._url.template
        try:
            # JSON unless it is not, as on AWS; a header of the rule decides.
            kind = "application/octet-stream" if isinstance(outgoing.document, bytes) else "application/json"
            headers = {"content-type": kind} | {
                key: value.render(outgoing.message) for key, value in self._headers.items()
            }
            request = urllib.request.Request(  # noqa: S310  # the scheme was looked at
                self._url.render(outgoing.message), data=outgoing.payload, headers=headers, method="POST"
            )
            with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310  # as above
                return None
        except urllib.error.HTTPError as error:
            with error:
                passing = error.code >= 500 or error.code in _PASSING
                return Failure(resource, f"the server answered {error.code}", lasting=not passing)
        except (RuleSqlError, ValueError) as error:
            return Failure(resource, str(error), lasting=True)
        except OSError as error:
            # Not "unreachable": other people's servers may be gone for good, and AWS gives up, too.
            return Failure(resource, str(error), lasting=False)
