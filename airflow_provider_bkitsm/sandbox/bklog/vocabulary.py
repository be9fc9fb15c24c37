# SPDX-License-Identifier: Apache-2.0
"""Words that have a meaning for the log platform: as names of fields, in time formats, as grok patterns."""

from __future__ import annotations

_RESERVED_WORDS = """
__dist_01 __dist_03 __dist_05 __dist_07 __dist_09 __ext __ext_json __parse_failure __shard_key__
__unique_key__ add all alter and any as asc badescape badregex badstring begin bk_biz_id bk_cloud_id
bk_cmdb_level_id bk_cmdb_level_name bk_host_id bk_supplier_id boundparam by cloud_id cloudid colon comma
company_id continuous create d database databases datetime default delete desc destinations diagnostics
distinct div dot doublecolon drop dteventtimestamp dteventtimestampnanos duration durationval e end eof
eq eqregex every exists explain false field filename for from group groups gseindex gt gte i ident if
illegal in inf insert integer into ip items iterationindex key keys kill limit log lparen lt lte
measurement measurements mul name neq neqregex not number offset on or order password path plat_id
policies policy privileges queries query read regex replication repo resample retention revoke rparen
select semicolon series server serverip set shard shards show signature slimit soffset stats string sub
subscription subscriptions tag tagkey time timestamp to true utctime values view where
wineventactivityid wineventapi wineventchannel wineventcomputername wineventdata wineventid
wineventkeywords wineventlevel wineventopcode wineventprocesspid wineventprocessthreadid
wineventproviderguid wineventrecordid wineventrelatedactivityid wineventtask wineventtimecreated
wineventuserdata wineventuserdomain wineventuseridentifier wineventusername wineventusertype
wineventversion with write ws
"""
RESERVED = frozenset(_RESERVED_WORDS.split())
"""Names that no field may have, whatever their case: of the query language, the platform and its data."""

RESERVED_BY_V4 = frozenset({"json_data", "iter_item", "iter_string", "bk_separator_object"})
"""Further names that no field may have on the platform's newer data link."""

EPOCHS = frozenset({"epoch_millis", "epoch_second", "epoch_minute", "epoch_micros"})
"""Formats of a time that is a number."""

NANO_FORMATS = frozenset(
    {
        "yyyy-MM-dd HH:mm:ss.SSSSSS",
        "basic_date_time_micros",
        "YYYY-MM-DDTHH:mm:ss.SSSSSSZ",
        "strict_date_time_micros",
        "epoch_micros",
    }
)
"""Formats finer than a millisecond: such a time is kept in a second field."""

_GROK_PATTERNS_WORDS = """
USERNAME USER EMAILLOCALPART EMAILADDRESS HTTPDUSER INT BASE10NUM NUMBER BASE16NUM BASE16FLOAT POSINT
NONNEGINT WORD NOTSPACE SPACE DATA GREEDYDATA QUOTEDSTRING QS UUID URN MAC CISCOMAC WINDOWSMAC COMMONMAC
IPV6 IPV4 IP HOSTNAME HOST IPORHOST HOSTPORT PATH UNIXPATH TTY WINPATH URIPROTO URIHOST URIPATH URIPARAM
URIPATHPARAM URI MONTH MONTHNUM MONTHNUM2 MONTHDAY DAY YEAR HOUR MINUTE SECOND TIME DATE_US DATE_EU
ISO8601_TIMEZONE ISO8601_SECOND TIMESTAMP_ISO8601 DATE DATESTAMP TZ DATESTAMP_RFC822 DATESTAMP_RFC2822
DATESTAMP_OTHER DATESTAMP_EVENTLOG SYSLOGTIMESTAMP PROG SYSLOGPROG SYSLOGHOST SYSLOGFACILITY HTTPDATE
LOGLEVEL SYSLOGBASE COMMONAPACHELOG COMBINEDAPACHELOG HTTPD_COMMONLOG HTTPD_COMBINEDLOG
"""
GROK_PATTERNS = frozenset(_GROK_PATTERNS_WORDS.split())
"""Patterns a grok expression may name."""
