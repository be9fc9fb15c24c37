# SPDX-License-Identifier: Apache-2.0
"""What the routes are given: they are made once in a process, and each sandbox of it has a world of its own."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request

from airflow_provider_bkitsm.sandbox.world import World


def world_of(request: Request) -> World:
    """Return the world of the application that was asked."""
    return cast("World", request.app.state.world)


InWorld = Annotated[World, Depends(world_of)]
