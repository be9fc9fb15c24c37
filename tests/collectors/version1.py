# SPDX-License-Identifier: Apache-2.0
"""A database as the store first made it, before its schema had a version: tables and data, literally.

Written down and not derived, so that no later change of the code changes what is migrated.
"""

from __future__ import annotations

from sqlalchemy import Engine

_TABLES = (
    """
    CREATE TABLE bkitsm_collector (
        bklog_conn_id VARCHAR(250){binary} NOT NULL,
        collector_config_id BIGINT NOT NULL,
        state VARCHAR(20) NOT NULL,
        ticket_sn VARCHAR(128){binary},
        ticket_url TEXT,
        tag VARCHAR(32){binary},
        etl_payload {json},
        etl_digest VARCHAR(80),
        etl_result {json},
        dag_id VARCHAR(250){binary},
        run_id VARCHAR(250){binary},
        task_id VARCHAR(250){binary},
        map_index INTEGER,
        outcome VARCHAR(20),
        outcome_detail {json},
        provisioned_at {time},
        last_error TEXT,
        application INTEGER NOT NULL,
        create_started_at {time},
        version INTEGER NOT NULL,
        created_at {time} NOT NULL,
        updated_at {time} NOT NULL,
        PRIMARY KEY (bklog_conn_id, collector_config_id),
        CONSTRAINT uq_bkitsm_collector_ticket_sn UNIQUE (ticket_sn)
    ){options}
    """,
    """
    CREATE TABLE bkitsm_collector_audit (
        bklog_conn_id VARCHAR(250){binary} NOT NULL,
        collector_config_id BIGINT NOT NULL,
        version INTEGER NOT NULL,
        application INTEGER NOT NULL,
        event VARCHAR(40) NOT NULL,
        from_state VARCHAR(20) NOT NULL,
        to_state VARCHAR(20) NOT NULL,
        ticket_sn VARCHAR(128){binary},
        dag_id VARCHAR(250){binary},
        run_id VARCHAR(250){binary},
        task_id VARCHAR(250){binary},
        map_index INTEGER,
        actor TEXT,
        detail {json},
        at {time} NOT NULL,
        PRIMARY KEY (bklog_conn_id, collector_config_id, version)
    ){options}
    """,
)
_OWNER = "'dag', 'run', 'apply', -1"
_AT = "'2026-01-02 03:04:05.678901'"
_ROWS = (
    f"""
    INSERT INTO bkitsm_collector VALUES (
        'bklog', 7, 'applying', 'SN1', 'http://itsm/1', 'tag1', '{{"retention": 7}}',
        'sha256:06ba6aa8ef579954d8f46674f4b18b5111c426adbf988ec3468362b11998cad9', NULL, {_OWNER},
        'approved', '{{"who": "carol"}}', NULL, 'down', 1, {_AT}, 4, {_AT}, {_AT}
    )
    """,
    *(
        f"""
        INSERT INTO bkitsm_collector_audit VALUES (
            'bklog', 7, {version}, 1, '{event}', '{before}', 'applying', {sn}, {_OWNER}, NULL, '{detail}', {_AT}
        )
        """
        for version, event, before, sn, detail in (
            (1, "apply", "not_apply", "NULL", '{"tag": "tag1"}'),
            (2, "ticket_opened", "applying", "'SN1'", '{"tag": "tag1"}'),
            (3, "decided", "applying", "'SN1'", '{"outcome": "approved"}'),
            (4, "etl_failed", "applying", "'SN1'", '{"reason": "down"}'),
        )
    ),
)
_PLAIN = {"binary": "", "json": "TEXT", "options": ""}
_SPELLED = {
    "sqlite": {**_PLAIN, "time": "DATETIME"},
    "postgresql": {**_PLAIN, "time": "TIMESTAMP WITHOUT TIME ZONE"},
    "mysql": {
        "binary": " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        "json": "LONGTEXT",
        "time": "DATETIME(6)",
        "options": " ENGINE=InnoDB CHARSET=utf8mb4",
    },
}


def make(engine: Engine) -> None:
    """Make the tables of version 1 with one collector, approved and not provisioned."""
    with engine.begin() as connection:
        for table in _TABLES:
            connection.exec_driver_sql(table.format(**_SPELLED[engine.dialect.name]))
        for row in _ROWS:
            connection.exec_driver_sql(row)
