"""Faults in the service and its workers: turns that are not fair, things deleted too early, blame for the wrong one."""

from tests.mutants.mutant import Mutant

DISPATCH = "daemon/service/dispatch.py"
RETENTION = "daemon/service/retention.py"
BACKOFF = "daemon/service/backoff.py"
EXPOSURE = "daemon/service/exposure.py"
WAKE = "daemon/service/wake.py"
FAULTS = "daemon/compute/faults.py"
BLAME = "daemon/compute/blame.py"
T = "tests/service/test_dispatch.py"
SWEPT = "tests/service/test_retention.py"
EXPOSED = "tests/service/test_exposure.py"
LATE = "tests/service/test_late_writers.py"
REPEATS = "tests/service/test_repeats.py"
FAULTY = "tests/compute/test_faults.py"

MUTANTS = (
    Mutant(
        "whoever has more files has more turns",
        DISPATCH,
        "self._last[owner] = self._turn",
        "pass",
        f"{T}::test_owners_take_turns_whatever_one_of_them_has_and_in_which_stages",
    ),
    Mutant(
        "urgent files of others keep somebody waiting for ever",
        DISPATCH,
        "if self._passed_over >= FAIR_TURN - 1:",
        "if False:",
        f"{T}::test_the_higher_priority_goes_first_and_every_fourth_turn_is_for_who_waits_longest",
    ),
    Mutant(
        "every third turn is for who waits longest",
        DISPATCH,
        "if self._passed_over >= FAIR_TURN - 1:",
        "if self._passed_over >= FAIR_TURN - 2:",
        f"{T}::test_the_higher_priority_goes_first_and_every_fourth_turn_is_for_who_waits_longest",
    ),
    Mutant(
        "priorities count after turns",
        DISPATCH,
        ".priority, self._last_turn(owner)))",
        ".priority * 0, self._last_turn(owner)))",
        f"{T}::test_priorities_count_between_owners_before_their_turns",
    ),
    Mutant(
        "a drop of less priority passes",
        DISPATCH,
        "if drop.priority >= least and",
        "if",
        f"{T}::test_nobody_passes_one_of_higher_priority",
    ),
    Mutant(
        "one drop more may pass",
        DISPATCH,
        "self._passes < MOST_PASSES",
        "self._passes <= MOST_PASSES",
        f"{T}::test_one_is_passed_by_so_many_and_no_more",
    ),
    Mutant(
        "one is passed for ever",
        DISPATCH,
        "now - self._passing_since < LONGEST_SECONDS",
        "now - self._passing_since < 1e9",
        f"{T}::test_one_is_passed_for_so_long_and_no_longer",
    ),
    Mutant(
        "models take turns",
        DISPATCH,
        "if drop.priority >= least and self._model_of(drop) == self._model:",
        "if False:",
        f"{T}::test_drops_of_the_loaded_model_pass_those_of_another",
    ),
    Mutant(
        "what a held file says is taken for known",
        DISPATCH,
        "                return usual",
        "                self._known[key] = usual",
        f"{T}::test_what_another_program_holds_is_read_again_the_next_time",
    ),
    Mutant(
        "originals go while their artifacts wait",
        RETENTION,
        "needed=lambda name: not waiting.isdisjoint({id_of(name), stem_of(name)})",
        "needed=lambda name: False",
        f"{SWEPT}::test_an_original_stays_while_its_artifact_waits_and_goes_afterwards",
    ),
    Mutant(
        "an artifact that moves during the look loses its original",
        RETENTION,
        "if look and len(known) == before:",
        "if True:",
        f"{SWEPT}::test_an_artifact_that_moves_back_during_the_look_still_keeps_its_original",
    ),
    Mutant(
        "originals go while another program holds what may need them",
        RETENTION,
        "                    except InUse:\n                        return None",
        "                    except InUse:\n                        continue",
        f"{SWEPT}::test_no_original_goes_while_another_program_holds_what_may_need_it",
    ),
    Mutant(
        "a used input goes on its last day",
        RETENTION,
        "return datetime.fromisoformat(day.name).timestamp() + DAY_SECONDS",
        "return datetime.fromisoformat(day.name).timestamp()",
        f"{SWEPT}::test_a_used_input_stays_for_all_of_its_days",
    ),
    Mutant(
        "null deletes everything",
        RETENTION,
        "longest = math.inf if limit.days is None else",
        "longest = 0.0 if limit.days is None else",
        f"{SWEPT}::test_a_folder_that_is_too_large_loses_its_oldest",
    ),
    Mutant(
        "the newest goes first",
        RETENTION,
        "oldest_first = sorted(kept, key=lambda one: one.since)",
        "oldest_first = sorted(kept, key=lambda one: -one.since)",
        f"{SWEPT}::test_a_folder_that_is_too_large_loses_its_oldest",
    ),
    Mutant(
        "originals that are needed count as room",
        RETENTION,
        "        if not needed(one.path.name):\n            left -= one.size\n",
        "        left -= one.size\n        if not needed(one.path.name):\n",
        f"{SWEPT}::test_originals_that_are_needed_do_not_count_as_room_that_was_made",
    ),
    Mutant(
        "a failed job goes while somebody puts it right",
        RETENTION,
        ".st_mtime != kept.since:",
        ".st_mtime != kept.since and False:",
        f"{SWEPT}::test_a_failed_job_that_somebody_is_putting_right_stays",
    ),
    Mutant(
        "the index of the previews is deleted",
        RETENTION,
        'if kept.path.name != "index.html")',
        "if True)",
        f"{SWEPT}::test_previews_and_steps_go_by_their_age_and_the_index_stays",
    ),
    Mutant(
        "a stage in trouble is hammered",
        BACKOFF,
        "min(before.backoff_seconds * 2, LONGEST_BACKOFF_SECONDS) if before",
        "min(before.backoff_seconds, LONGEST_BACKOFF_SECONDS) if before",
        "tests/service/test_service.py::test_a_stage_in_trouble_rests_longer_each_time_and_its_reason_is_said_once",
    ),
    Mutant(
        "a stage in trouble rests without end",
        BACKOFF,
        "min(before.backoff_seconds * 2, LONGEST_BACKOFF_SECONDS) if before",
        "min(before.backoff_seconds * 2, 1e9) if before",
        "tests/service/test_service.py::test_a_stage_in_trouble_rests_longer_each_time_and_its_reason_is_said_once",
    ),
    Mutant(
        "of many rings that were heard all but one wake the loop again",
        WAKE,
        "            while True:",
        "            if True:",
        "tests/service/test_wake.py::test_rings_that_were_heard_wake_nobody",
    ),
    Mutant(
        "a folder that everybody may write in is not complained of",
        EXPOSURE,
        "if folder.st.st_mode & stat.S_IWOTH]",
        "if False]",
        f"{EXPOSED}::test_everybody_is_a_danger_wherever_the_spool_lies",
    ),
    Mutant(
        "a sticky folder is complained of",
        EXPOSURE,
        "if not folder.st.st_mode & stat.S_ISVTX]",
        "if True]",
        f"{EXPOSED}::test_in_a_sticky_folder_nobody_replaces_what_is_anothers",
    ),
    Mutant(
        "who is named in an access control list is overlooked",
        EXPOSURE,
        '("system.posix_acl_access" in os.listxattr(path))',
        "(False)",
        f"{EXPOSED}::test_an_access_control_list_lets_in_more_than_the_group",
    ),
    Mutant(
        "lack of memory breaks the device",
        FAULTS,
        "return not is_out_of_memory(error) and any(",
        "return any(",
        f"{FAULTY}::test_lack_of_memory_is_known_under_each_of_its_names",
    ),
    Mutant(
        "a sentence of ours is taken for an error of the device",
        FAULTS,
        "if isinstance(error, DaemonError):",
        "if False:",
        f"{FAULTY}::test_what_is_a_fault_of_ours_or_of_a_file_is_taken_for_neither",
    ),
    Mutant(
        "only the outermost error is looked at",
        FAULTS,
        "        seen = seen.__cause__",
        "        seen = None",
        f"{FAULTY}::test_lack_of_memory_is_known_under_each_of_its_names",
    ),
    Mutant(
        "one job that ends its workers is the machine's fault",
        BLAME,
        "        if len(jobs) == 1:",
        "        if not jobs:",
        f"{FAULTY}::test_one_job_that_ends_each_fresh_worker_is_at_fault_itself_and_two_in_a_row_are_not",
    ),
    Mutant(
        "what was done in between proves nothing",
        BLAME,
        "self._jobs.pop(stage, None)",
        "pass",
        f"{FAULTY}::test_what_is_done_in_between_shows_that_the_machine_is_well",
    ),
    Mutant(
        "what was written to while its job ran is published",
        "daemon/jobs/job.py",
        "context.check_unchanged(claim)",
        "pass",
        f"{LATE}::test_what_is_written_while_its_job_runs_runs_again_and_nothing_comes_of_the_first",
    ),
    Mutant(
        "what is written late stays in done/",
        "daemon/service/late_writers.py",
        "self._spool.take_back(drop)",
        "pass",
        f"{LATE}::test_a_file_written_late_goes_back_with_all_that_belongs_to_it_once_it_stands_still",
    ),
    Mutant(
        "what is written late goes back in the middle of it",
        "daemon/service/late_writers.py",
        "since = before[1] if before and before[0] == marks else now",
        "since = before[1] if before else now",
        f"{LATE}::test_a_file_written_late_goes_back_with_all_that_belongs_to_it_once_it_stands_still",
    ),
    Mutant(
        "a file whose time is set late runs again",
        "daemon/service/late_writers.py",
        "if self._is_what_it_was(drop, marks):",
        "if False:",
        f"{LATE}::test_a_file_whose_time_alone_is_set_late_stays",
    ),
    Mutant(
        "a file that is begun in the moment of its refusal fails",
        "daemon/service/service.py",
        "if claim and self.spool.is_stable(claim) is False:",
        "if claim and self.spool.is_stable(claim) is None and False:",
        f"{LATE}::test_a_file_that_is_begun_in_the_moment_of_its_refusal_goes_back",
    ),
    Mutant(
        "what has the size of a file that was used is the same",
        "daemon/service/repeats.py",
        "same = bool(contents) and all(sha256 and past.members[role].sha256 == sha256 for role, sha256 in contents.items())",
        "same = True",
        f"{REPEATS}::test_other_words_and_another_name_run_at_once",
    ),
    Mutant(
        "who saves or touches a file waits as for a copy",
        "daemon/service/repeats.py",
        "if _is_newer(drop, past):",
        "if False:",
        f"{REPEATS}::test_a_newer_one_waits_until_its_time_would_have_been_set_and_runs",
    ),
    Mutant(
        "a copy runs before its time can have been set",
        "daemon/service/repeats.py",
        'its time may still be set", due) if now < due else None',
        'its time may still be set", due) if False else None',
        f"{REPEATS}::test_a_newer_one_waits_until_its_time_would_have_been_set_and_runs",
    ),
    Mutant(
        "what was moved back from done/ does not run",
        "daemon/service/repeats.py",
        "return same and (past.runs or self._spool.marks_of(past).keys() == past.members.keys())",
        "return same",
        f"{REPEATS}::test_where_the_first_does_not_lie_in_done_any_more_it_runs",
    ),
    Mutant(
        "a copy is known for ever",
        "daemon/service/repeats.py",
        "/ 1e9 <= past.at + seconds",
        "/ 1e9 <= past.at + seconds + 1e9",
        f"{REPEATS}::test_one_that_comes_after_the_time_runs",
    ),
    Mutant(
        "what was written in the last moment is put away unread",
        "daemon/service/repeats.py",
        "if stable is False or noted is None or not _are_equal(past, noted):",
        "if noted is None:",
        f"{REPEATS}::test_one_that_was_written_in_the_last_moment_goes_back",
    ),
    Mutant(
        "`tiffsd once` runs less than lies there",
        "daemon/service/service.py",
        "repeat = None if self._ends_by_itself else",
        "repeat =",
        f"{REPEATS}::test_once_runs_all_that_lies_there",
    ),
)
