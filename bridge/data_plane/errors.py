"""What the data plane refuses, in AWS's codes."""

from typing import Any

# "Common errors" and the operations' own, in the service models of botocore.
_STATUS = {
    "AccessDeniedException": 403,
    "ConflictException": 409,
    "ConflictingResourceUpdateException": 409,
    "DeleteConflictException": 409,
    "ForbiddenException": 403,
    "InternalFailureException": 500,
    "InvalidRequestException": 400,
    "InvalidStateTransitionException": 409,
    "LimitExceededException": 410,
    "MethodNotAllowedException": 405,
    "MissingAuthenticationTokenException": 403,
    "NotImplementedException": 501,
    "RequestEntityTooLargeException": 413,
    "ResourceAlreadyExistsException": 409,
    "ResourceNotFoundException": 404,
    "ResourceRegistrationFailureException": 400,
    "ServiceUnavailableException": 503,
    "TerminalStateException": 410,
    "UnauthorizedException": 401,
    "UnsupportedDocumentEncodingException": 415,
    "VersionConflictException": 409,
}


class ServiceError(Exception):
    """A request that is refused: AWS's code, a message, and what else the answer's JSON has."""

    def __init__(self, code: str, message: str, **members: Any) -> None:
        """Take a code of AWS's, such as ``ResourceNotFoundException``."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = _STATUS[code]
        self.members = members
