"""The audit of two regions: what either acknowledged is in one archive or the other, and both tables say the same."""

import tempfile
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from testbed.archive import reader
from testbed.deploy.deployment import Deployment
from testbed.pipeline import dead_letters
from testbed.proofs.audit import wrong_states
from testbed.proofs.books import Books, HistoryWindow
from testbed.proofs.ledgers import read_ledger

_SHOWN = 10


@dataclass(frozen=True)
class RegionsAudit:
    """Counts of messages: ``duplicates`` are copies beyond the first, in one archive or in both.

    ``wrong_state``: by region, the stations of which the table has not the newest message of both archives.
    """

    acknowledged: int
    archived: dict[str, int]
    duplicates: int
    dead_lettered: int
    missing_count: int
    missing: list[str]
    wrong_state: dict[str, list[str]]

    @property
    def wrong_count(self) -> int:
        """Wrong states of all regions."""
        return sum(map(len, self.wrong_state.values()))


def audit_regions(regions: Sequence[Deployment], ledger: Path, stations: Collection[str]) -> RegionsAudit:
    """Hold a fleet's ledger against all regions; nothing may be on its way any more.

    Args:
        regions: the deployments.
        ledger: of the fleet.
        stations: the fleet.

    Raises:
        TestbedError: the ledger cannot be read.
    """
    archived: Counter[str] = Counter()
    letters: set[str] = set()
    # No points are asked for: docs/decisions/0019-two-regions.md says what a minute's point is worth in two regions.
    window = HistoryWindow(60, 24, datetime.now(UTC))
    with (
        tempfile.TemporaryDirectory(dir=regions[0].path) as folder,
        closing(Books(Path(folder) / "audit.db", window)) as books,
    ):
        books.acknowledged(read_ledger(ledger))
        for region in regions:
            outputs = region.outputs
            records = reader.records(region.client("s3"), outputs.telemetry_bucket_name)
            own = [record for record in records if record["station_id"] in stations]
            archived[region.region] = len({record["message_id"] for record in own})
            books.archived(own)
            found = dead_letters.each(region.client("sqs"), outputs.dead_letter_queue_url)
            letters |= {letter.message_id for letter in found if letter.message_id}
        books.dead_lettered(letters)
        missing_count, missing = books.missing(_SHOWN)
        return RegionsAudit(
            books.acknowledged_count(),
            dict(archived),
            books.archived_count()[1],
            books.acknowledged_and_dead_lettered(),
            missing_count,
            missing,
            {each.region: sorted(map(str, wrong_states(each, books.newest))) for each in regions},
        )
