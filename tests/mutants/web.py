"""Faults in the server of the page: somebody who gets in, or gets out, and files that come to harm on their way."""

from tests.mutants.mutant import Mutant

GATE = "daemon/web/gate.py"
ASKED = "daemon/web/asked.py"
FILES = "daemon/web/files.py"
ARRIVING = "daemon/web/arriving.py"
PROMPTING = "daemon/web/prompting.py"
ACTING = "daemon/web/acting.py"
SHOWING = "daemon/web/showing.py"
TOKEN = "daemon/web/token.py"
PRIORITIES = "daemon/jobs/priorities.py"
G = "tests/web/test_gate.py"
F = "tests/web/test_files.py"
A = "tests/web/test_acts.py"
D = "tests/web/test_drops.py"
E = "tests/web/test_events.py"
C = "tests/web/test_command.py"

MUTANTS = (
    Mutant(
        "a name of somebody else's leads to the page",
        GATE,
        "if found is None or not self._is_ours(found",
        "if found is None and not self._is_ours(found",
        f"{G}::test_under_another_name_there_is_nothing",
    ),
    Mutant(
        "without the cookie files are read",
        GATE,
        "if not self._keys.is_cookie(request.cookies.get(COOKIE, ",
        "if request.method not in READING and not self._keys.is_cookie(request.cookies.get(COOKIE, ",
        f"{G}::test_without_the_cookie_there_is_nothing",
    ),
    Mutant(
        "an origin that begins like ours is ours",
        GATE,
        "said[0].lower() in origins",
        "said[0].lower().startswith(tuple(origins))",
        f"{G}::test_from_another_origin_nothing_is_changed",
    ),
    Mutant(
        "the word of the page is not asked for",
        GATE,
        'in origins and self._keys.is_csrf(request.headers.get(CSRF_HEADER, ""))',
        "in origins",
        f"{G}::test_without_the_word_of_the_page_nothing_is_changed",
    ),
    Mutant(
        "another method than POST is a way round",
        GATE,
        "if request.method not in READING and not",
        'if request.method == "POST" and not',
        f"{G}::test_another_method_is_no_way_round",
    ),
    Mutant(
        "the cookie says the token",
        GATE,
        'self.cookie, self.csrf = self._derived("cookie"), self._derived("csrf")',
        'self.cookie, self.csrf = token, self._derived("csrf")',
        f"{G}::test_the_cookie_is_for_this_site_and_for_no_script",
    ),
    Mutant(
        "what is hidden in the spool is sent",
        ASKED,
        'part.startswith(".") or "/" in part',
        'part in (".", "..") or "/" in part',
        f"{F}::test_what_is_not_to_be_seen_is_not_there",
    ),
    Mutant(
        "a slash in a name leads elsewhere",
        ASKED,
        'part.startswith(".") or "/" in part',
        'part.startswith(".")',
        f"{F}::test_what_is_not_to_be_seen_is_not_there",
    ),
    Mutant(
        "a file that is somebody's elsewhere is sent",
        FILES,
        "if is_private_elsewhere(found.st_mode, found.st_nlink):",
        "if is_private_elsewhere(found.st_mode, 1):",
        f"{F}::test_a_file_that_is_somebodys_elsewhere_is_not_shown",
    ),
    Mutant(
        "a dropped page is a page of ours",
        FILES,
        "kind = KINDS.get(path.suffix.lower(), OTHER)",
        'kind = {**KINDS, ".html": "text/html"}.get(path.suffix.lower(), OTHER)',
        f"{F}::test_a_file_is_sent_as_what_it_is_and_runs_nothing",
    ),
    Mutant(
        "names are markup in a listing",
        FILES,
        "{html.escape(shown(name))}",
        "{shown(name)}",
        f"{F}::test_a_listing_shows_names_as_text",
    ),
    Mutant(
        "half a drop stays where its sender went away",
        ARRIVING,
        "    finally:\n        made.leave()",
        "    finally:\n        made.file.close()",
        (
            f"{D}::test_a_connection_that_breaks_leaves_nothing",
            f"{D}::test_a_server_that_ends_leaves_nothing_of_what_was_on_its_way",
        ),
    ),
    Mutant(
        "a drop takes the place of another",
        ARRIVING,
        "self._beneath.rename_noreplace(self._part, path)",
        "self._beneath.rename(self._part, path)",
        f"{D}::test_a_name_that_is_taken_gets_the_next_number",
    ),
    Mutant(
        "a drop pauses a stage",
        ARRIVING,
        "if is_nobodys(name) or conflict_of(name):",
        "if conflict_of(name):",
        f"{D}::test_a_name_that_is_no_drops_is_refused_in_a_sentence",
    ),
    Mutant(
        "a body of no said length has no end",
        ASKED,
        "if count > most:",
        "if not said and count > most:",
        f"{D}::test_what_is_larger_than_it_said_is_refused",
    ),
    Mutant(
        "words are read as parameters",
        PROMPTING,
        "return (below if _says(below, meant, where) else in_quotes).encode()",
        "return (below or in_quotes).encode()",
        f"{D}::test_hostile_words_are_words",
    ),
    Mutant(
        "a line break of Unicode ends a value",
        PROMPTING,
        "[\\x7f-\\x9f\\u2028\\u2029\\ufeff\\ufffe\\uffff]",
        "[\\x7f]",
        f"{D}::test_hostile_words_are_words",
    ),
    Mutant(
        "a prompt is dropped that the daemon cannot use",
        PROMPTING,
        "    _check(data, name, root, read_config)\n",
        "",
        f"{D}::test_what_the_daemon_could_not_use_is_refused_by_its_own_sentence",
    ),
    Mutant(
        "an act is about whatever lies anywhere",
        ACTING,
        "if kind not in PLACES[act] or len(inside)",
        "if len(inside)",
        f"{A}::test_what_is_none_of_its_business_is_refused_in_a_sentence",
    ),
    Mutant(
        "two files share a priority",
        PRIORITIES,
        "for found in (groups, turned):",
        "for found in (groups,):",
        f"{A}::test_two_files_of_one_name_do_not_share_a_priority",
    ),
    Mutant(
        "a settings file is changed that says something else then",
        PRIORITIES,
        'if now != {**said, "priority": priority}:',
        "if now is None:",
        f"{A}::test_a_settings_file_that_no_program_may_change_stays",
    ),
    Mutant(
        "settings are left of a file that has begun",
        PRIORITIES,
        "if not beneath.lexists(path) and known is None:",
        "if not beneath.lexists(path) and known is not None:",
        f"{A}::test_a_file_that_begins_meanwhile_leaves_no_settings_behind",
    ),
    Mutant(
        "a daemon that was killed is said to live",
        SHOWING,
        "return self._said() if is_alive(self._root) else self._lying()",
        "return self._said()",
        f"{E}::test_a_page_sees_when_the_daemon_ends",
    ),
    Mutant(
        "others read the token",
        TOKEN,
        "if mode & (stat.S_IRWXG | stat.S_IRWXO):",
        "if mode & (stat.S_IRWXO):",
        f"{C}::test_a_token_that_others_may_read_is_refused",
    ),
)
