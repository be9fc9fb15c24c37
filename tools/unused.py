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

# Of a protocol: how a function is called.
_.__call__
