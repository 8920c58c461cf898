-- The twenty stations whose chargers need longest for a battery: charging time by batteries that came ready.
WITH steps AS (
    SELECT
        station_id,
        charging,
        to_unixtime(lead(said_at) OVER (PARTITION BY station_id ORDER BY said_at, sequence, message_id))
            - to_unixtime(said_at) AS seconds,
        lead(swaps_total) OVER (PARTITION BY station_id ORDER BY said_at, sequence, message_id)
            - swaps_total AS swaps,
        lead(battery_available) OVER (PARTITION BY station_id ORDER BY said_at, sequence, message_id)
            - battery_available AS more_ready
    FROM telemetry
    WHERE said_at IS NOT NULL AND charging IS NOT NULL AND swaps_total IS NOT NULL
), charged AS (
    -- Each swap takes a ready battery away, so as many more came ready as the difference shows.
    SELECT station_id, charging * seconds AS charging_seconds, more_ready + swaps AS batteries
    FROM steps
    WHERE seconds <= 9e2 AND swaps >= 0
)
SELECT
    station_id,
    CAST(sum(batteries) AS bigint) AS batteries_charged,
    round(sum(charging_seconds) / 36e2, 2) AS charging_hours,
    round(sum(charging_seconds) / 6e1 / sum(batteries), 1) AS minutes_a_battery
FROM charged
GROUP BY station_id
HAVING sum(batteries) > 0
ORDER BY 4 DESC, 1
LIMIT 20
