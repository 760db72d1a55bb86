"""The shares of users, and the idle time of entries."""

from __future__ import annotations

from tickwire.sessions.quota import IdleTimer, Quota, first_exceeded


def test_a_quota_limits_the_total_and_each_user() -> None:
    """Amounts without a user count towards the total only."""
    quota = Quota()
    quota.add("ann", 3)
    quota.add(None, 4)
    assert quota.exceeded_limit({"ann": 1}, max_total=10, max_per_user=3) == "user"
    assert quota.exceeded_limit({"bob": 3}, max_total=10, max_per_user=3) is None
    assert quota.exceeded_limit({None: 4}, max_total=10, max_per_user=3) == "server"
    quota.add("ann", -3)
    assert quota.exceeded_limit({"ann": 3}, max_total=10, max_per_user=3) is None


def test_the_limit_of_the_server_is_reported_first() -> None:
    assert first_exceeded([None, "user", "server"]) == "server"
    assert first_exceeded(["user", None]) == "user"
    assert first_exceeded([None, None]) is None


def test_an_idle_timer_starts_at_the_first_look() -> None:
    timer = IdleTimer()
    assert [timer.elapsed_s(now) for now in (5.0, 7.0)] == [0.0, 2.0]
    timer.reset()
    assert timer.elapsed_s(9.0) == 0.0
