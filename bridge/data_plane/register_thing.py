"""``RegisterThing`` of ``iot``: a template in the call provisions a thing, for users."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from bridge.control_plane import ControlPlane
from bridge.data_plane.errors import ServiceError
from bridge.data_plane.registrar import ConflictError, Registrar
from bridge.data_plane.templates import TemplateError, fill


class ControlRegistration:
    """What users ask of provisioning."""

    def __init__(self, registry: ControlPlane, registrar: Registrar) -> None:
        """Use a registry, and what carries out templates in it."""
        self._registry, self._registrar = registry, registrar

    def operations(self) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
        """Return the operations by name."""
        return {"RegisterThing": self.register}

    async def register(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``RegisterThing``."""
        try:
            return await asyncio.to_thread(
                self._register, parameters["templateBody"], parameters.get("parameters", {})
            )
        except ConflictError as error:
            raise ServiceError("ConflictingResourceUpdateException", str(error)) from error
        except TemplateError as error:
            raise ServiceError("InvalidRequestException", str(error)) from error
        except ClientError as error:
            raise ServiceError("ResourceRegistrationFailureException", str(error)) from error

    def _register(self, body: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        plan = fill(body, parameters)
        certificate = self._registrar.certificate(plan.certificate)
        made = self._registrar.apply(plan, certificate)
        described = self._registry.call("DescribeCertificate", certificateId=certificate)
        return {"certificatePem": described["certificateDescription"]["certificatePem"], "resourceArns": made}
