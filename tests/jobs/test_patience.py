"""How often a file is tried at which the machine fails."""

import errno
import os

from daemon.errors import ClusterLost, InUse, NodeLost, OutOfMemory, Stopped, WorkersDie
from daemon.jobs.outcome import Ended, Outcome
from daemon.jobs.patience import LONGEST_WAIT_SECONDS, MOST_ENDS, MOST_TRIES, SHORT_FILES, WAIT_SECONDS, Patience

FULL = OutOfMemory("no room for 30 GiB of 24")
FILES = {"principal": (1, 2, 3)}


def test_for_lack_of_memory_a_file_waits_longer_each_time_and_is_given_up_with_the_figure() -> None:
    patience = Patience()
    ends = [patience.ended(FULL, "text", FILES) for _ in range(MOST_TRIES)]
    assert [end.outcome for end in ends] == [*[Outcome.LATER] * (MOST_TRIES - 1), Outcome.FAILED]
    assert [end.wait_seconds for end in ends] == [WAIT_SECONDS, 2 * WAIT_SECONDS, 4 * WAIT_SECONDS, 0.0]
    assert ends[-1].reason.startswith(f"no room for 30 GiB of 24. It was tried {MOST_TRIES} times; make the picture smaller")


def test_the_tries_of_a_file_that_is_saved_again_or_put_back_after_it_failed_begin_anew() -> None:
    patience = Patience()
    for _ in range(MOST_TRIES - 1):
        patience.ended(FULL, "text", FILES)
    assert patience.ended(FULL, "text", {"principal": (1, 2, 4)}).wait_seconds == WAIT_SECONDS
    assert patience.ended(FULL, "text", FILES).outcome is Outcome.FAILED
    assert patience.ended(FULL, "text", FILES).outcome is not Outcome.FAILED


def test_different_files_without_memory_in_a_row_let_their_stage_rest_and_one_that_is_done_ends_that() -> None:
    patience = Patience()
    outcomes = [patience.ended(FULL, "text", {"principal": number}).outcome for number in range(SHORT_FILES)]
    assert outcomes == [*[Outcome.LATER] * (SHORT_FILES - 1), Outcome.KEPT]
    assert patience.ended(FULL, "decode", {"principal": 9}).outcome is Outcome.LATER
    patience.done("text")
    assert patience.ended(FULL, "text", {"principal": 10}).outcome is Outcome.LATER


def test_where_fresh_workers_end_the_stage_rests_at_once_and_a_file_is_given_up_late() -> None:
    patience, died = Patience(), WorkersDie("it died")
    ends = [patience.ended(died, "text", FILES) for _ in range(MOST_ENDS)]
    assert {end.outcome for end in ends[:-1]} == {Outcome.KEPT}
    assert max(end.wait_seconds for end in ends) == LONGEST_WAIT_SECONDS
    assert ends[-1].outcome is Outcome.FAILED


def test_a_lost_machine_is_tried_again_a_few_times_and_a_lost_cluster_for_as_long_as_it_takes() -> None:
    patience = Patience()
    node, cluster = NodeLost("the machine box2 is gone"), ClusterLost("no machine answers")
    assert [patience.ended(node, "text", FILES).outcome for _ in range(MOST_ENDS)][-2:] == [Outcome.KEPT, Outcome.FAILED]
    ends = {patience.ended(cluster, "text", FILES) for _ in range(2 * MOST_ENDS)}
    assert ends == {Ended(Outcome.KEPT, "no machine answers; see whether the machines that compute are up, and reached from here")}


def test_of_what_else_is_not_the_files_fault_nothing_is_counted() -> None:
    patience, full = Patience(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert patience.ended(Stopped("the end"), "text", FILES) == Ended(Outcome.RETURNED)
    assert {patience.ended(full, "text", FILES) for _ in range(20)} == {Ended(Outcome.KEPT, str(full))}
    held = InUse(errno.EAGAIN, "", "cat.txt")
    assert patience.ended(held, "text", FILES) == Ended(Outcome.IN_USE, "cat.txt is still being written")
