-- Swaps of each day, by the stations' counters; a counter that starts again counts from nought.
WITH steps AS (
    SELECT
        station_id,
        said_at,
        swaps_total,
        lag(swaps_total) OVER (PARTITION BY station_id ORDER BY said_at, sequence, message_id) AS previous
    FROM telemetry
    WHERE swaps_total IS NOT NULL AND said_at IS NOT NULL
), counted AS (
    SELECT
        station_id,
        said_at,
        CASE
            WHEN previous IS NULL THEN 0
            WHEN swaps_total >= previous THEN swaps_total - previous
            ELSE swaps_total
        END AS swaps
    FROM steps
)
SELECT
    date_format(said_at, '%Y-%m-%d') AS day,
    count(DISTINCT station_id) AS stations,
    CAST(sum(swaps) AS bigint) AS swaps,
    round(sum(swaps) * 1e0 / count(DISTINCT station_id), 2) AS swaps_a_station
FROM counted
GROUP BY 1
ORDER BY 1
