-- What a report that opens an incident makes Postgres do, without anything around it: the statements of
-- engine::report, for pgbench, which takes a colon before a letter for a variable. The room list bench0 exists.
\set key random(1, 1000000000000)
BEGIN;
SELECT pg_advisory_xact_lock(:key::bigint);
SELECT * FROM incident WHERE room_list = 'bench0' AND key = sha256(convert_to((:key::bigint)::text, 'UTF8'))
    ORDER BY id DESC LIMIT 1 FOR UPDATE;
INSERT INTO incident (room_list, key, receiver, group_key, group_labels, common_labels, truncated, phase, next_at, stale_at,
        run_no, level, loop_no, told, policy_version, ackers, flap_count, version, opened_at)
    VALUES ('bench0', sha256(convert_to((:key::bigint)::text, 'UTF8')), 'bench', '{}:{alertname="DiskFull"}',
        '{"alertname": "DiskFull"}', '{"alertname": "DiskFull", "severity": "critical"}', 0, 'firing',
        now() + interval '10 minutes', now() + interval '8 hours', 1, 0, 0, false,
        (SELECT policy_version FROM room_list WHERE name = 'bench0'), '{}', 0, 2, now())
    RETURNING id AS incident \gset
INSERT INTO incident_key (room_list, key, incident)
    VALUES ('bench0', sha256(convert_to((:key::bigint)::text, 'UTF8')), :incident::bigint)
    ON CONFLICT (room_list, key) DO UPDATE SET incident = excluded.incident;
INSERT INTO incident_alert (incident, fingerprint, firing, severity, rank, escalate, starts_at, last_seen, labels, annotations)
    VALUES (:incident::bigint, '94ac1e8c0ba6f1e5', true, 'critical', 0, true, now(), now(),
        '{"alertname": "DiskFull", "instance": "db-0.example.test", "severity": "critical", "job": "node"}',
        '{"summary": "The disk of db-0 is nearly full", "description": "Less than 5 % of /var is left."}');
INSERT INTO timeline (incident, version, at, kind, entry)
    VALUES (:incident::bigint, 1, now(), 'run_started', '{"kind": "run_started"}'), (:incident::bigint, 2, now(), 'paged', '{"kind": "paged"}');
WITH target AS MATERIALIZED (
    SELECT room_of('#bench0' || chr(58) || 'example.test') AS room
), made AS (
    INSERT INTO post (id, incident, room, created_at) SELECT gen_random_uuid(), :incident::bigint, room, now() FROM target
    ON CONFLICT (incident, room) DO NOTHING RETURNING id, room
), gate AS (
    INSERT INTO room_gate (room) SELECT room FROM target ON CONFLICT (room) DO NOTHING
)
INSERT INTO outbox (id, room_list, room, kind, priority, incident, run_no, loop_no, level, post, payload, state, not_before,
        created_at)
    SELECT gen_random_uuid(), 'bench0', room, 'page', 0, :incident::bigint, 1, 0, 0, id, '{"what": "page"}', 'pending', now(), now()
    FROM made ON CONFLICT DO NOTHING;
COMMIT;
