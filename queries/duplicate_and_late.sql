-- Each station's messages that were received more than once, or a minute or more after they were said.
WITH receipts AS (
    SELECT message_id, count(*) AS times FROM received GROUP BY message_id
), messages AS (
    SELECT
        telemetry.station_id AS station_id,
        receipts.times AS times,
        telemetry."_received_at" / 1e3 - to_unixtime(telemetry.said_at) AS seconds_late
    FROM telemetry
    JOIN receipts ON receipts.message_id = telemetry.message_id
)
SELECT
    station_id,
    count(*) AS messages,
    count_if(times > 1) AS duplicated,
    CAST(sum(times - 1) AS bigint) AS extra_copies,
    count_if(seconds_late >= 6e1) AS late,
    round(max(seconds_late), 1) AS latest_seconds
FROM messages
GROUP BY station_id
ORDER BY 4 DESC, 5 DESC, 1
