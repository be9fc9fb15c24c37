# SPDX-License-Identifier: Apache-2.0
"""The names no column may have: the log platform's own columns, and words of its query languages."""

from __future__ import annotations

_WORDS = """
    __dist_01 __dist_03 __dist_05 __dist_07 __dist_09 __ext __ext_json __parse_failure __shard_key__
    __unique_key__ add all alter and any as asc badescape badregex badstring begin bk_biz_id bk_cloud_id
    bk_cmdb_level_id bk_cmdb_level_name bk_host_id bk_supplier_id boundparam by cloud_id cloudid colon comma
    company_id continuous create d database databases datetime default delete desc destinations diagnostics
    distinct div dot doublecolon drop dteventtimestamp dteventtimestampnanos duration durationval e end eof eq
    eqregex every exists explain false field filename for from group groups gseindex gt gte i ident if illegal
    in inf insert integer into ip items iterationindex key keys kill limit log lparen lt lte measurement
    measurements mul name neq neqregex not number offset on or order password path plat_id policies policy
    privileges queries query read regex replication repo resample retention revoke rparen select semicolon
    series server serverip set shard shards show signature slimit soffset stats string sub subscription
    subscriptions tag tagkey time timestamp to true utctime values view where wineventactivityid wineventapi
    wineventchannel wineventcomputername wineventdata wineventid wineventkeywords wineventlevel wineventopcode
    wineventprocesspid wineventprocessthreadid wineventproviderguid wineventrecordid wineventrelatedactivityid
    wineventtask wineventtimecreated wineventuserdata wineventuserdomain wineventuseridentifier wineventusername
    wineventusertype wineventversion with write ws
"""
RESERVED_NAMES = frozenset(_WORDS.split())
"""In lower case; the platform compares without regard to case."""


def is_reserved(name: str) -> bool:
    """Whether the log platform refuses a field of this name."""
    return name.lower() in RESERVED_NAMES
