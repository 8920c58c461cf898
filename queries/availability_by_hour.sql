-- In each hour: how often a station that spoke had a battery ready, and how many it had.
SELECT
    date_format(said_at, '%Y-%m-%d %H:00') AS hour,
    count(DISTINCT station_id) AS stations,
    count(*) AS messages,
    round(1e2 * count_if(battery_available > 0) / count(*), 2) AS available_percent,
    round(avg(battery_available), 2) AS batteries_ready,
    min(battery_available) AS fewest_ready
FROM telemetry
WHERE said_at IS NOT NULL
GROUP BY 1
ORDER BY 1
