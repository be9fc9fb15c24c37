# SPDX-License-Identifier: Apache-2.0
"""The part of the sandbox's own API that is about the log platform."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException

from airflow_provider_bkitsm.sandbox.bklog.provisioning import decide_natively
from airflow_provider_bkitsm.sandbox.bklog.seed import collector
from airflow_provider_bkitsm.sandbox.dependencies import InWorld
from airflow_provider_bkitsm.sandbox.refusals import Refusal
from airflow_provider_bkitsm.sandbox.world import World

routes = APIRouter()


@routes.get("/collectors")
async def collectors(world: InWorld) -> list[dict[str, Any]]:
    """Return every collector, and how often its ETL was written."""
    return [shown_collector(world, number) for number in world.bklog.collectors]


@routes.get("/collectors/{number}")
async def one_collector(world: InWorld, number: int) -> dict[str, Any]:
    """Return one collector."""
    _check_known(world, number)
    return shown_collector(world, number)


@routes.put("/collectors/{number}")
async def put_collector(world: InWorld, number: int, row: dict[str, Any]) -> dict[str, Any]:
    """Make a collector, or another of it."""
    name = str(row.get("collector_config_name") or f"collector-{number}")
    try:
        world.bklog.put(number, collector(number, name) | row | {"collector_config_id": number})
    except (Refusal, LookupError) as problem:
        raise HTTPException(422, f"no table can be made of this: {problem}") from problem
    return shown_collector(world, number)


@routes.get("/collectors/{number}/clean_config")
async def clean_config(world: InWorld, number: int) -> dict[str, Any] | None:
    """Return the clean configuration written last, as the platform went on with it."""
    _check_known(world, number)
    return world.bklog.stashes.get(number)


@routes.get("/bklog")
async def setup(world: InWorld) -> dict[str, Any]:
    """Return how the platform is set up."""
    return world.bklog.setup.model_dump(mode="json")


@routes.post("/bklog")
async def change_setup(world: InWorld, changes: dict[str, Any]) -> dict[str, Any]:
    """Set the platform up in another way; what is not named stays."""
    try:
        world.bklog.change_setup(changes)
    except ValueError as problem:
        raise HTTPException(422, str(problem)) from problem
    return world.bklog.setup.model_dump(mode="json")


@routes.delete("/bklog/list_cache", status_code=204)
async def clear_list_cache(world: InWorld) -> None:
    """Let the ten minutes pass for which the list keeps what it has seen."""
    world.bklog.clear_list_cache()


@routes.post("/bklog/native/{sn}", status_code=204)
async def decide(world: InWorld, sn: str, approve: bool) -> None:
    """Decide a ticket that the platform itself has opened."""
    try:
        decide_natively(world.bklog, sn, approve=approve)
    except LookupError as problem:
        raise HTTPException(404, f"the log platform has opened no ticket {sn}") from problem


def shown_collector(world: World, number: int) -> dict[str, Any]:
    """Return a collector as the platform holds it, and how often its ETL was written."""
    return world.bklog.shown(number) | {"etl_writes": world.bklog.etl_writes[number]}


def _check_known(world: World, number: int) -> None:
    if number not in world.bklog.collectors:
        raise HTTPException(404, f"no collector {number}")
