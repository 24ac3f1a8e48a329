"""Faults in setting tiffsd up: files of others taken, a configuration spoilt, models that are not told apart."""

from tests.mutants.mutant import Mutant

STEPS = "daemon/setup/steps.py"
SERVICE = "daemon/setup/service.py"
TEXT = "daemon/setup/config_text.py"
NEW = "daemon/setup/new_entries.py"
SPOOL = "daemon/setup/look_at_spool.py"
OF_SERVICE = "tests/setup/test_service.py"
OF_TEXT = "tests/setup/test_config_text.py"
OF_FOUND = "tests/setup/test_found_models.py"

MUTANTS = (
    Mutant(
        "what install did not write is taken back with the service",
        SERVICE,
        "[Remove(file) for file in files if is_ours(file)]",
        "[Remove(file) for file in files if file.exists()]",
        f"{OF_SERVICE}::test_uninstalling_takes_back_what_install_wrote_and_nothing_else",
    ),
    Mutant(
        "a configuration that is there is written anew",
        STEPS,
        "not (step.spared or text_of(step.path) == step.text):\n        _make",
        "not (text_of(step.path) == step.text):\n        _make",
        f"{OF_SERVICE}::test_an_upgrade_shows_what_differs_and_starts_the_service_anew",
    ),
    Mutant(
        "what a hand has changed in a unit is lost",
        STEPS,
        "return path.is_file() and not is_as_written(text_of(path))",
        "return False",
        f"{OF_SERVICE}::test_what_a_hand_has_changed_is_kept_beside_it",
    ),
    Mutant(
        "any folder that a configuration calls a spool is purged",
        SERVICE,
        "is_spool = all((spool / kind).is_dir() for kind in BY_STAGE)",
        "is_spool = spool.is_dir()",
        f"{OF_SERVICE}::test_a_purge_deletes_the_spool_where_it_is_one",
    ),
    Mutant(
        "the embedded model is gone where the first other one is added",
        TEXT,
        'return {"demo": {"path": BUILTIN}} if section == "models" and section not in values else {}',
        "return {}",
        f"{OF_TEXT}::test_however_it_is_written_only_the_entries_are_new",
    ),
    Mutant(
        "lines are added whatever comes of them",
        TEXT,
        "if found != wanted:",
        "if not found and wanted:",
        f"{OF_TEXT}::test_what_is_written_as_nobody_foresaw_is_left_alone",
    ),
    Mutant(
        "a configuration is everybody's to read after lines were added",
        TEXT,
        "os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))",
        "os.fchmod(file.fileno(), 0o644)",
        f"{OF_TEXT}::test_the_file_keeps_its_mode_and_its_owner_behind_a_link",
    ),
    Mutant(
        "two models of one name are one",
        NEW,
        "    taken.add(free)\n",
        "",
        f"{OF_FOUND}::test_names_are_what_config_yaml_takes_and_each_is_there_once",
    ),
    Mutant(
        "a spool is told to lie on the disk above the share",
        SPOOL,
        "len(place.parts) >= best",
        "best < 0",
        "tests/setup/test_doctor.py::test_the_mount_of_a_folder_is_the_nearest_above_it",
    ),
)
