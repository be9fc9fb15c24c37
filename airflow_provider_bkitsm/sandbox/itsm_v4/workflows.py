# SPDX-License-Identifier: Apache-2.0
"""Workflows of ITSM v4: those of the sandbox, those a template brings, and how two calls show them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DATA_TABLE = "DATA_TABLE"


class Refusal(Exception):
    """A refusal: HTTP 400 with the code 40000."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, kw_only=True)
class FormKey:
    """One key of a form."""

    key: str
    name: str
    kind: str = "string"
    is_required: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """The key's part of the canvas's jsonschema."""
        if self.kind == "people":
            return {"type": "array", "title": self.name, "items": {"type": "string", "format": "user"}}
        return {"type": self.kind, "title": self.name}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One approval step.

    :param path: key of the form that names who is asked.
    :param everybody: whether all of them have to answer.
    """

    key: str
    name: str
    path: str = "approvers"
    everybody: bool = False
    creator_auto_approve: bool = False
    previously_approved_auto_approve: bool = False
    auto_submit_with_no_handler: bool = False

    @property
    def activity(self) -> dict[str, Any]:
        """The step as ``workflows`` shows it."""
        source = {"id": f"{DATA_TABLE}[{self.path}]", "key": DATA_TABLE, "path": self.path, "type": "List[User]"}
        switches = (
            "creator_auto_approve",
            "previously_approved_auto_approve",
            "auto_submit_with_no_handler",
        )
        meta = {
            "label": "approve",
            "processors_type": "user",
            "working_mode": "parallel" if self.everybody else "cooperate",
            "processors": [source | {"name": self.path}],
            "buttons": [{"key": "approve", "enable": True}, {"key": "refuse", "enable": True}],
            "advanced_settings": {"auto_terminate": False} | {name: getattr(self, name) for name in switches},
        }
        return {"key": self.key, "name": self.name, "type": "APPROVE_TASK", "meta": meta}


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """A workflow of one system in one tenant."""

    key: str
    name: str
    system_id: str
    tenant: str
    steps: tuple[Step, ...] = ()
    form: tuple[FormKey, ...] = field(default_factory=tuple)
    sn_prefix: str = "SQ"

    def listed(self) -> dict[str, Any]:
        """The row of ``system_workflow/list``."""
        return {"key": self.key, "name": self.name, "system_id": self.system_id, "form_schema": self._schema()}

    def detail(self) -> dict[str, Any]:
        """The item of ``workflows``."""
        submit = {"key": "submit", "name": "提交", "type": "SUBMIT", "meta": {}}
        rows = [
            {
                "key": one.key,
                "title": {"value": one.name},
                "defaultValue": None,
                "verification": {"required": {"value": one.is_required}},
            }
            for one in self.form
        ]
        return {
            "key": self.key,
            "workflow_key": self.key,
            "name": self.name,
            "desc": "",
            "activities": {"submit": submit} | {one.key: one.activity for one in self.steps},
            "form_canvas_data": {"form_data": {"layout": [{"list": rows}]}, "jsonschema": self._schema()},
        }

    def _schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {one.key: one.schema for one in self.form},
            "additionalProperties": False,
        }


_FORM = (
    FormKey(key="ticket__title", name="标题", is_required=True),
    FormKey(key="content", name="申请内容"),
    FormKey(key="approvers", name="审批人", kind="people", is_required=True),
    FormKey(key="client_ref", name="外部编号"),
)
# As the log platform's own services name theirs.
_COLLECTOR_FORM = (
    _FORM[0],
    FormKey(key="approvals", name="审批人", kind="people", is_required=True),
    FormKey(key="collector_detail", name="采集详情", is_required=True),
    FormKey(key="apply_reason", name="申请理由"),
    _FORM[3],
)
_SECOND = FormKey(key="second_approvers", name="复核人", kind="people", is_required=True)
_FIRST_STEP = Step(key="activityobject_approve_1", name="审批节点")


def seeded(system_id: str, tenant: str) -> list[Workflow]:
    """Return the workflows that every tenant of the sandbox has. Keys are unique over all tenants."""
    prefix = "" if tenant in ("", "default") else f"{tenant}_"
    of: dict[str, Any] = {"system_id": system_id, "tenant": tenant, "form": _FORM}
    second = Step(key="activityobject_approve_2", name="复核节点", path=_SECOND.key)
    by_itself = Step(
        key=_FIRST_STEP.key,
        name=_FIRST_STEP.name,
        creator_auto_approve=True,
        previously_approved_auto_approve=True,
        auto_submit_with_no_handler=True,
    )
    everybody = Step(key=_FIRST_STEP.key, name="会签节点", everybody=True)
    collector = Step(key=_FIRST_STEP.key, name=_FIRST_STEP.name, path="approvals")
    return [
        Workflow(
            key=f"{prefix}collector", name="Log collector", steps=(collector,), **of | {"form": _COLLECTOR_FORM}
        ),
        Workflow(key=f"{prefix}approval", name="One step", steps=(_FIRST_STEP,), **of),
        Workflow(
            key=f"{prefix}two_steps",
            name="Two steps",
            steps=(_FIRST_STEP, second),
            **of | {"form": (*_FORM, _SECOND)},
        ),
        Workflow(key=f"{prefix}countersign", name="Countersign", steps=(everybody,), **of),
        Workflow(key=f"{prefix}no_approval", name="No approval", **of),
        Workflow(key=f"{prefix}auto_approve", name="Approves by itself", steps=(by_itself,), **of),
    ]


def of_template(template: dict[str, Any], tenant: str) -> tuple[str, list[Workflow]]:
    """Return the system's code and the workflows of a template file.

    :raises Refusal: it is no template.
    """
    try:
        system = str(template["system"]["code"])
        keys = {placeholder: key for key, placeholder in template["key_mapping"]["workflows"].items()}
        found = [_of_template(one, keys, system, tenant) for one in template["workflows"]]
    except (KeyError, TypeError, AttributeError) as problem:
        raise Refusal(f"the template lacks {problem}") from problem
    return system, found


def _of_template(one: dict[str, Any], keys: dict[str, str], system: str, tenant: str) -> Workflow:
    version = one["version"]
    properties = version["form_canvas_data"]["jsonschema"]["properties"]
    steps = [(key, act) for key, act in version["activities"].items() if act["type"] == "APPROVE_TASK"]
    return Workflow(
        key=keys[one["workflow"]["key"]],
        name=one["workflow"]["name"],
        system_id=system,
        tenant=tenant,
        steps=tuple(_step(key, act) for key, act in steps),
        form=tuple(
            FormKey(key=key, name=key, kind="people" if rule.get("type") == "array" else "string")
            for key, rule in properties.items()
        ),
    )


def _step(key: str, activity: dict[str, Any]) -> Step:
    meta = activity["meta"]
    return Step(
        key=key,
        name=activity.get("name", key),
        path=meta["processors"][0]["path"],
        everybody=meta.get("working_mode") == "parallel",
    )
