"""Keep each truck's last state: one item a truck."""

import json
import os
from decimal import Decimal

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def handler(event, _context):
    """Write what the rule hands over, whose message is the event itself."""
    item = json.loads(json.dumps(event), parse_float=Decimal)
    table.put_item(Item=item)
    print(f"{item['truck']}: {item['temp_c']} °C")
