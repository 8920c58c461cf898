-- How long each station had no battery ready; a silence counts for a quarter of an hour at most.
WITH spans AS (
    SELECT
        station_id,
        battery_available,
        to_unixtime(lead(said_at) OVER (PARTITION BY station_id ORDER BY said_at, sequence, message_id))
            - to_unixtime(said_at) AS silence
    FROM telemetry
    WHERE said_at IS NOT NULL
), seen AS (
    SELECT station_id, battery_available, CASE WHEN silence > 9e2 THEN 9e2 ELSE silence END AS seconds
    FROM spans
    WHERE silence IS NOT NULL
)
SELECT
    station_id,
    round(sum(CASE WHEN battery_available = 0 THEN seconds ELSE 0e0 END) / 6e1, 1) AS minutes_without,
    round(sum(seconds) / 6e1, 1) AS minutes_seen
FROM seen
GROUP BY station_id
ORDER BY 2 DESC, 1
