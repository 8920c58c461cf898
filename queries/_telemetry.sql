-- What every saved query reads: `received`, each receipt of a message once, and `telemetry`, each message once.
-- A message is in the archive twice where a batch was tried again, and while an hour is being compacted.
WITH archived AS (
    SELECT {columns} FROM telemetry_batches WHERE dt BETWEEN {first_day} AND {last_day}
    UNION ALL
    SELECT {columns} FROM telemetry_hours WHERE dt BETWEEN {first_day} AND {last_day}
), received AS (
    SELECT * FROM (
        SELECT
            *,
            -- A space or small letters are ISO 8601 to the handler, and not to Trino.
            try(from_iso8601_timestamp(replace(upper("timestamp"), ' ', 'T'))) AT TIME ZONE 'UTC' AS said_at,
            row_number() OVER (PARTITION BY message_id, "_source_message_id" ORDER BY "_received_at") AS copy
        FROM archived
    ) AS copies
    WHERE copy = 1
), telemetry AS (
    SELECT * FROM (
        SELECT
            *,
            row_number() OVER (PARTITION BY message_id ORDER BY "_received_at", "_source_message_id") AS receipt
        FROM received
    ) AS receipts
    WHERE receipt = 1
)
SELECT * FROM telemetry
