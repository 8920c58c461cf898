"""10,000 fuzzed payloads through the handler: each is stored, or dead-lettered with a reason."""

import os
import random

from tests.integration.functions.conftest import Cloud
from tests.unit.functions.samples import envelope, sqs_event
from tests.unit.functions.test_handler_validation import CODES, mutated


def test_ten_thousand_fuzzed_payloads_are_stored_or_dead_lettered(cloud: Cloud) -> None:
    """Nothing fails, nothing is lost, nothing is both. FUZZ_SEED repeats a run, FUZZ_PAYLOADS takes more."""
    seed = int(os.environ.get("FUZZ_SEED") or random.SystemRandom().randrange(2**32))
    print(f"FUZZ_SEED={seed}")
    rng = random.Random(seed)
    total = int(os.environ.get("FUZZ_PAYLOADS", "10000"))
    refused: dict[str, str] = {}
    for _ in range(0, total, 1000):
        assert cloud.failed(sqs_event(*(envelope(mutated(rng)) for _ in range(1000)))) == set()
        # Each time, as the emulator's queue gets slow when it gets long.
        letters = cloud.take_dead_letters()
        refused |= {letter["source_message_id"]: letter["_attribute"] for letter in letters}
    archived = {line["_source_message_id"] for lines in cloud.archive().values() for line in lines}
    duplicates = sum(outcome.duplicates for outcome in cloud.outcomes)
    assert len(archived) + len(refused) + duplicates == total
    assert archived.isdisjoint(refused)
    assert set(refused.values()) <= CODES
