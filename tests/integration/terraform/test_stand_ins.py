"""HashiCorp's small providers as the air-gapped mode plays them: Terraform itself applies, and plans again."""

import base64
import hashlib
import json
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from testbed.deploy import terraform
from testbed.deploy.airgap import provider

CONFIGURATION = """
data "archive_file" "code" {
  type        = "zip"
  source_dir  = "${path.module}/code"
  excludes    = ["tests"]
  output_path = "${path.module}/code.zip"
}
data "archive_file" "texts" {
  type        = "zip"
  output_path = "${path.module}/texts.zip"
  source {
    content  = "hello"
    filename = "a/b.txt"
  }
}
resource "random_id" "id" {
  byte_length = 4
  prefix      = "x-"
}
resource "random_password" "password" {
  length  = 20
  special = false
}
resource "random_integer" "integer" {
  min = 3
  max = 5
}
resource "random_pet" "pet" {}
resource "random_uuid" "uuid" {}
resource "random_shuffle" "shuffle" {
  input        = ["a", "b", "c"]
  result_count = 2
}
resource "local_file" "file" {
  content         = "id ${random_id.id.hex}"
  filename        = "${path.module}/made/file.txt"
  file_permission = "0600"
}
data "local_file" "read" {
  filename = local_file.file.filename
}
resource "null_resource" "run" {
  triggers = { id = random_id.id.hex }
  provisioner "local-exec" {
    command = "echo ran > ran.txt"
  }
}
resource "tls_private_key" "key" {
  algorithm = "RSA"
}
resource "tls_self_signed_cert" "authority" {
  private_key_pem       = tls_private_key.key.private_key_pem
  validity_period_hours = 24
  is_ca_certificate     = true
  allowed_uses          = ["cert_signing"]
  subject {
    common_name = "an authority"
  }
}
resource "tls_cert_request" "request" {
  private_key_pem = tls_private_key.key.private_key_pem
  subject {
    common_name = "a device"
  }
}
resource "time_static" "now" {}
resource "time_sleep" "moment" {
  create_duration = "10ms"
}
data "external" "program" {
  program = ["python3", "-c", "import json,sys; print(json.dumps({'said': json.load(sys.stdin)['word']}))"]
  query   = { word = "hello" }
}
data "template_file" "template" {
  template = "$${greeting}, device"
  vars     = { greeting = "hello" }
}
output "all" {
  sensitive = true
  value = {
    code        = data.archive_file.code
    id          = random_id.id
    password    = random_password.password.result
    integer     = random_integer.integer.result
    pet         = random_pet.pet.id
    shuffle     = random_shuffle.shuffle.result
    read        = data.local_file.read.content
    key         = tls_private_key.key
    certificate = tls_self_signed_cert.authority.cert_pem
    request     = tls_cert_request.request.cert_request_pem
    now         = time_static.now.rfc3339
    said        = data.external.program.result.said
    template    = data.template_file.template.rendered
  }
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    requirement = provider.requirement(provider.STAND_INS)
    del requirement["required_providers"]["aws"]
    (tmp_path / "versions.tf.json").write_text(json.dumps({"terraform": requirement}))
    (tmp_path / "main.tf").write_text(CONFIGURATION)
    (tmp_path / "code" / "tests").mkdir(parents=True)
    (tmp_path / "code" / "app.py").write_text("app")
    (tmp_path / "code" / "tests" / "test_app.py").write_text("test")
    return tmp_path


def _terraform(folder: Path, *arguments: str, status: int = 0) -> str:
    environment = os.environ | {"TF_CLI_CONFIG_FILE": str(provider.ensure())}
    done = subprocess.run(
        [terraform.find(), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def test_terraform_applies_them_and_then_finds_nothing_to_change(folder: Path) -> None:
    provider.provide(provider.STAND_INS)
    _terraform(folder, "init", "-input=false")
    _terraform(folder, "apply", "-auto-approve", "-input=false")
    made: dict[str, Any] = json.loads(_terraform(folder, "output", "-json"))["all"]["value"]

    packed = (folder / "code.zip").read_bytes()
    assert zipfile.ZipFile(folder / "code.zip").namelist() == ["app.py"]
    assert zipfile.ZipFile(folder / "texts.zip").read("a/b.txt") == b"hello"
    assert (
        made["code"]["output_base64sha256"] == base64.b64encode(hashlib.sha256(packed).digest()).decode()
    ), "as filebase64sha256 gives it"
    assert made["code"]["output_size"] == len(packed)
    assert made["id"]["hex"] == f"x-{base64.urlsafe_b64decode(made['id']['id'] + '==').hex()}"
    assert len(made["password"]) == 20
    assert made["password"].isalnum()
    assert 3 <= made["integer"] <= 5
    assert len(made["pet"].split("-")) == len(made["shuffle"]) == 2
    assert (folder / "ran.txt").is_file()
    assert made["read"] == (folder / "made" / "file.txt").read_text() == f"id {made['id']['hex']}"
    assert (folder / "made" / "file.txt").stat().st_mode & 0o777 == 0o600
    key = load_pem_private_key(made["key"]["private_key_pem"].encode(), None)
    certificate = x509.load_pem_x509_certificate(made["certificate"].encode())
    assert certificate.public_key() == key.public_key()
    assert x509.load_pem_x509_csr(made["request"].encode()).is_signature_valid
    assert made["now"].endswith("Z")
    assert (made["said"], made["template"]) == ("hello", "hello, device")

    _terraform(folder, "plan", "-detailed-exitcode", "-input=false")
