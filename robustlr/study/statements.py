"""SQL on Optuna's tables, PostgreSQL 12 or later.

Trials are numbered from 0 under a lock on the study's row, as Optuna does it. Attributes are JSON
as text. `state` is an enumeration of the database.
"""

STUDY = "SELECT study_id FROM studies WHERE study_name = %s"

IS_FOREIGN = """
SELECT EXISTS (SELECT FROM trials WHERE study_id = %(study)s) AND NOT EXISTS (
    SELECT FROM trials JOIN trial_user_attributes a USING (trial_id)
    WHERE study_id = %(study)s AND a.key = 'cell'
)
"""
"""Whether none of the study's trials is ours. Trials without a cell, which somebody may put into
a study of ours with Optuna, are passed over everywhere below."""

INDEX = """
CREATE INDEX IF NOT EXISTS robustlr_waiting ON trials (study_id, number) WHERE state = 'WAITING'
"""
"""Finds the next waiting trial in the same time however many there are."""

LET_IDLE = "SET LOCAL idle_in_transaction_session_timeout = '10min'"

LOCK_STUDY = "SELECT study_id FROM studies WHERE study_id = %s FOR UPDATE"

_IS_CELL = """
    EXISTS (SELECT FROM trial_user_attributes WHERE trial_id = t.trial_id AND key = 'cell')
"""

_ATTRIBUTES = """
    (SELECT json_object_agg(key, value_json) FROM trial_user_attributes WHERE trial_id = t.trial_id)
"""

ADD = """
WITH cells AS MATERIALIZED (
    SELECT *, (SELECT count(*) FROM trials WHERE study_id = %(study)s)
              + row_number() OVER (ORDER BY position) - 1 AS number
    FROM json_to_recordset(%(rows)s) AS row (
        position int, key text, setting text,
        peak_lr double precision, schedule double precision, seed double precision
    )
), added AS (
    INSERT INTO trials (number, study_id, state)
    SELECT number, %(study)s, 'WAITING' FROM cells ORDER BY number
    RETURNING trial_id, number
), parameters AS (
    INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)
    SELECT trial_id, name, value, (%(of)s::text[])[parameter.of]
    FROM added JOIN cells USING (number), LATERAL (
        VALUES (1, 'peak_lr', peak_lr), (2, 'schedule', schedule), (3, 'seed', seed)
    ) AS parameter (of, name, value)
)
INSERT INTO trial_user_attributes (trial_id, key, value_json)
SELECT trial_id, name, value
FROM added JOIN cells USING (number), LATERAL (
    VALUES ('cell', key), ('setting', setting)
) AS attribute (name, value)
"""

CLAIM = f"""
WITH next AS (
    SELECT trial_id FROM trials t WHERE study_id = %(study)s AND state = 'WAITING' AND {_IS_CELL}
    ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE trials t SET state = 'RUNNING', datetime_start = now() AT TIME ZONE 'utc'
    FROM next WHERE t.trial_id = next.trial_id
    RETURNING t.trial_id, t.number
), named AS (
    INSERT INTO trial_user_attributes (trial_id, key, value_json)
    SELECT trial_id, 'worker', %(worker)s FROM taken
    RETURNING trial_id, key, value_json
)
SELECT t.trial_id, t.number, (
    SELECT json_object_agg(key, value_json) FROM (
        SELECT key, value_json FROM trial_user_attributes WHERE trial_id = t.trial_id
        UNION ALL SELECT key, value_json FROM named
    ) AS attributes
) FROM taken t
"""

RUNNING = f"""
SELECT t.trial_id, t.number, {_ATTRIBUTES} FROM trials t
WHERE t.study_id = %s AND t.state = 'RUNNING' AND {_IS_CELL} ORDER BY t.number
"""

STATE = "SELECT state::text FROM trials WHERE trial_id = %(trial)s"

COMPLETE = """
WITH told AS (
    UPDATE trials SET state = 'COMPLETE', datetime_complete = now() AT TIME ZONE 'utc'
    WHERE trial_id = %(trial)s AND state = 'RUNNING'
    RETURNING trial_id
)
INSERT INTO trial_values (trial_id, objective, value, value_type)
SELECT trial_id, 0, %(value)s, %(kind)s FROM told
RETURNING trial_id
"""

FAIL = """
WITH told AS (
    UPDATE trials SET state = 'FAIL', datetime_complete = now() AT TIME ZONE 'utc'
    WHERE trial_id = %(trial)s AND state = 'RUNNING'
    RETURNING trial_id
)
INSERT INTO trial_user_attributes (trial_id, key, value_json)
SELECT trial_id, name, value
FROM told, (VALUES ('reason', %(reason)s), ('mark', %(mark)s)) AS attribute (name, value)
RETURNING trial_id
"""
"""The mark tells whoever never heard the answer that it was they who ended the trial."""

IS_MARKED = """
SELECT EXISTS (
    SELECT FROM trial_user_attributes
    WHERE trial_id = %(trial)s AND key = 'mark' AND value_json = %(mark)s
)
"""

AGAIN = """
WITH added AS (
    INSERT INTO trials (number, study_id, state)
    SELECT count(*), %(study)s, 'WAITING' FROM trials WHERE study_id = %(study)s
    RETURNING trial_id
), parameters AS (
    INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)
    SELECT added.trial_id, param_name, param_value, distribution_json
    FROM added, trial_params old WHERE old.trial_id = %(old)s
)
INSERT INTO trial_user_attributes (trial_id, key, value_json)
SELECT added.trial_id, key, value_json FROM added, trial_user_attributes old
WHERE old.trial_id = %(old)s AND key IN ('cell', 'setting')
UNION ALL SELECT trial_id, 'attempt', %(attempt)s FROM added
"""

KEYS = """
SELECT a.value_json
FROM trials t JOIN trial_user_attributes a ON a.trial_id = t.trial_id AND a.key = 'cell'
WHERE t.study_id = %s AND t.state = %s::trialstate
"""

STATES = """
SELECT a.value_json, t.state::text, v.value
FROM trials t
JOIN trial_user_attributes a ON a.trial_id = t.trial_id AND a.key = 'cell'
LEFT JOIN trial_values v ON v.trial_id = t.trial_id
WHERE t.study_id = %s
"""

BEAT = """
INSERT INTO study_user_attributes (study_id, key, value_json)
VALUES (%(study)s, %(key)s,
        (%(note)s::jsonb || jsonb_build_object('at', extract(epoch FROM clock_timestamp())))::text)
ON CONFLICT (study_id, key) DO UPDATE SET value_json = excluded.value_json
"""

SIGNS = """
SELECT value_json,
       (extract(epoch FROM clock_timestamp()) - (value_json::jsonb ->> 'at')::float)::float
FROM study_user_attributes WHERE study_id = %s AND key LIKE %s ORDER BY key
"""

AGREE = """
INSERT INTO study_user_attributes (study_id, key, value_json)
VALUES (%(study)s, %(key)s, %(value)s) ON CONFLICT (study_id, key) DO NOTHING
"""

AGREED = "SELECT value_json FROM study_user_attributes WHERE study_id = %(study)s AND key = %(key)s"

FORGET_WORKER = "DELETE FROM study_user_attributes WHERE study_id = %s AND key = %s"

FORGET = "DELETE FROM study_user_attributes WHERE study_id = %s AND starts_with(key, %s)"
