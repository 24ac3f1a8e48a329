"""How often a file is tried at which the machine fails."""

import errno
import os

from daemon.errors import ClusterLost, InUse, NodeLost, OutOfMemory, Stopped, WorkersDie
from daemon.jobs.outcome import JobResult, Outcome
from daemon.jobs.retry_budget import LONGEST_WAIT_SECONDS, MOST_ENDS, MOST_TRIES, SHORT_FILES, WAIT_SECONDS, RetryBudget

FULL = OutOfMemory("no room for 30 GiB of 24")
FILES = {"principal": (1, 2, 3)}


def test_for_lack_of_memory_a_file_waits_longer_each_time_and_is_given_up_with_the_figure() -> None:
    retries = RetryBudget()
    ends = [retries.result_of(FULL, "text", FILES) for _ in range(MOST_TRIES)]
    assert [end.outcome for end in ends] == [*[Outcome.LATER] * (MOST_TRIES - 1), Outcome.FAILED]
    assert [end.wait_seconds for end in ends] == [WAIT_SECONDS, 2 * WAIT_SECONDS, 4 * WAIT_SECONDS, 0.0]
    assert ends[-1].reason.startswith(f"no room for 30 GiB of 24. It was tried {MOST_TRIES} times; make the picture smaller")


def test_the_tries_of_a_file_that_is_saved_again_or_put_back_after_it_failed_begin_anew() -> None:
    retries = RetryBudget()
    for _ in range(MOST_TRIES - 1):
        retries.result_of(FULL, "text", FILES)
    assert retries.result_of(FULL, "text", {"principal": (1, 2, 4)}).wait_seconds == WAIT_SECONDS
    assert retries.result_of(FULL, "text", FILES).outcome is Outcome.FAILED
    assert retries.result_of(FULL, "text", FILES).outcome is not Outcome.FAILED


def test_different_files_without_memory_in_a_row_let_their_stage_rest_and_one_that_is_done_ends_that() -> None:
    retries = RetryBudget()
    outcomes = [retries.result_of(FULL, "text", {"principal": number}).outcome for number in range(SHORT_FILES)]
    assert outcomes == [*[Outcome.LATER] * (SHORT_FILES - 1), Outcome.KEPT]
    assert retries.result_of(FULL, "decode", {"principal": 9}).outcome is Outcome.LATER
    retries.succeeded("text")
    assert retries.result_of(FULL, "text", {"principal": 10}).outcome is Outcome.LATER


def test_where_fresh_workers_end_the_stage_rests_at_once_and_a_file_is_given_up_late() -> None:
    retries, died = RetryBudget(), WorkersDie("it died")
    ends = [retries.result_of(died, "text", FILES) for _ in range(MOST_ENDS)]
    assert {end.outcome for end in ends[:-1]} == {Outcome.KEPT}
    assert max(end.wait_seconds for end in ends) == LONGEST_WAIT_SECONDS
    assert ends[-1].outcome is Outcome.FAILED


def test_a_lost_machine_is_tried_again_a_few_times_and_a_lost_cluster_for_as_long_as_it_takes() -> None:
    budget = RetryBudget()
    node, cluster = NodeLost("the machine box2 is gone"), ClusterLost("no machine answers")
    assert [budget.result_of(node, "text", FILES).outcome for _ in range(MOST_ENDS)][-2:] == [Outcome.KEPT, Outcome.FAILED]
    results = {budget.result_of(cluster, "text", FILES) for _ in range(2 * MOST_ENDS)}
    advice = "see whether the machines that compute are up, and reached from here"
    assert results == {JobResult(Outcome.KEPT, f"no machine answers; {advice}")}


def test_of_what_else_is_not_the_files_fault_nothing_is_counted() -> None:
    retries, full = RetryBudget(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert retries.result_of(Stopped("the end"), "text", FILES) == JobResult(Outcome.RETURNED)
    assert {retries.result_of(full, "text", FILES) for _ in range(20)} == {JobResult(Outcome.KEPT, "No space left on device")}
    held = InUse(errno.EAGAIN, "", "cat.txt")
    assert retries.result_of(held, "text", FILES) == JobResult(Outcome.IN_USE, "cat.txt is still being written")
