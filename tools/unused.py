# SPDX-License-Identifier: Apache-2.0
"""What is meant to be unused, for the check for dead code: ``_.name`` counts as a use of that name."""

from types import SimpleNamespace

_ = SimpleNamespace()

# The filters of ITSM's get_tickets, all that its documentation has; people name them as keywords.
_.service_id__in
_.bk_biz_id__in
_.current_status__in
_.create_at__gte
_.create_at__lte
_.end_at__gte
_.end_at__lte

# The answers of ITSM, field for field; which of them people read is theirs to say.
_.processors_type
_.iframe_ticket_url
_.service_type
_.flow_id
_.service_name
_.current_status_display
_.priority_name
_.waiting_approve
_.can_comment
_.can_supervise
_.is_supervise_needed
_.supervise_type
_.supervisor
_.sla
_.sla_color
_.processed_user
_.approve_remark
_.sign_type
_.flow_type

# The ETL payload, key for key: the log platform reads them, our rules look at some.
_.field_name
_.metadata_type
_.expand_depth
_.separator_regexp
_.is_grok
_.separator
_.retain_original_text
_.original_text_is_case_sensitive
_.original_text_tokenize_on_chars
_.retain_extra_json
_.ext_json_config
_.enable_retain_content
_.record_parse_failure
_.metadata_fields
_.is_delete
_.field_index
_.alias_name
_.is_dimension
_.is_built_in
_.is_case_sensitive
_.tokenize_on_chars
_.bk_biz_ids
_.bk_biz_labels
_.value_ref
_.log_assessment
_.need_approval
_.query_alias
_.path_type
_.etl_config
_.storage_cluster_id
_.allocation_min_days
_.storage_replies
_.es_shards
_.view_roles
_.etl_params
_.total_shards_per_node
_.is_platform_index
_.platform_index_visibility
_.platform_index_filter
_.need_assessment
_.assessment_config
_.alias_settings

# Of a protocol: how a function is called.
_.__call__

# The answers of the JSON API, which the scripts of the pages read.
_.itsm_answered
_.may_remind
_.frame_url
