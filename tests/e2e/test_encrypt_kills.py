"""`pgveil encrypt run` and `decrypt run` killed at random moments while others write: nothing is lost, doubled or damaged.

The long campaign is `tests/encrypt/kills`.
"""

import pytest

from harness.killing import campaign

pytestmark = pytest.mark.proxy


def test_runs_that_are_killed_lose_nothing(pg):
    outcome = campaign(pg, "killed", kills=8, rows=600, seed=5)
    assert outcome.kills["encrypt"] == 8
    assert outcome.written > 0
