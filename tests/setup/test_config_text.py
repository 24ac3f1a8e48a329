"""Entries are added to a config.yaml as a person would: new lines at their places, and everything else stays to the byte."""

import difflib
import os
import stat
from pathlib import Path

import pytest

from daemon.errors import ConfigError
from daemon.settings.config import read_config
from daemon.settings.plain_yaml import parse_yaml
from daemon.settings.resources import resource
from daemon.setup.config_text import Entries, add_to, lines_of, with_entries

SHIPPED = resource("config.yaml").read_text()
MODEL = {"path": "/m/a b.safetensors", "defaults": {"width": 512, "height": 512}}
ENTRIES = Entries({"sd15": MODEL, "xl": {"path": "/m/xl"}}, {"mse": "/v: 1"}, {"loras": "/m/loras", "textual_inversions": "/m/#e"})
LINES = [
    "  sd15: {path: /m/a b.safetensors, defaults: {width: 512, height: 512}}",
    "  xl: {path: /m/xl}",
    '  mse: "/v: 1"',
    "  loras: /m/loras",
    '  textual_inversions: "/m/#e"',
]


def new_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    changed = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]
    return [line[2:] for line in changed if line[0] == "+"], [line[2:] for line in changed if line[0] == "-"]


def test_the_shipped_configuration_gets_its_lines_and_keeps_its_comments() -> None:
    after = with_entries(SHIPPED, ENTRIES, "config.yaml")
    added, gone = new_lines(SHIPPED, after)
    assert added == [*LINES[:2], "vaes:", *LINES[2:]]
    assert gone == ["vaes: {}", "  loras: null", "  textual_inversions: null"]
    # Behind the last model, and before the blank line and the comment of the next section.
    assert "    dtype: float32\n" + "\n".join(LINES[:2]) + "\n\n# Separate VAEs" in after


FORMS = {
    "nothing": "",
    "only a comment": "# mine\n",
    "another section": "spool: x\n",
    "no newline at the end": "models:\n  demo: {path: builtin}",
    "four spaces": "models:\n    demo:\n        path: builtin\n\n\n# the end\n",
    "comments in the block": "models:\n  # one\n  demo:\n    path: builtin  # two\n  # three\n\nspool: x\n",
    "windows": "models:\r\n  demo:\r\n    path: builtin\r\nspool: x\r\n",
    "brackets": "models: {demo: {path: builtin}}  # mine\nvaes: {a: b}\nadapters: {loras: null, textual_inversions: ~}\n",
    "brackets over lines": 'models: {\n  demo: {path: builtin},  # a } here\n  "x}": {path: y},\n}\nspool: x\n',
    "brackets with a comma": "models: {demo: {path: builtin},}\n",
    "empty brackets with a comment": "vaes: {  } # none yet\n",
    "quotes": "\"models\":\n  'demo': {path: builtin}\n",
    "adapters with one key": "adapters:\n  loras:   # none\n",
    "text over lines": "models:\n  demo:\n    path: >-\n      built\n\n      in\nspool: x\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_however_it_is_written_only_the_entries_are_new(form: str) -> None:
    before = FORMS[form]
    after = with_entries(before, ENTRIES, "config.yaml")
    said, was = parse_yaml(after, "after"), parse_yaml(before, "before")
    models = was.pop("models", {"demo": {"path": "builtin"}})
    assert said.pop("models") == {**models, **ENTRIES.models}
    assert said.pop("vaes") == {**was.pop("vaes", {}), **ENTRIES.vaes}
    assert said.pop("adapters") == {**was.pop("adapters", {}), **ENTRIES.adapters}
    assert said == was
    comments = [line[line.index("#") :] for line in before.splitlines() if "#" in line]
    assert all(comment in after for comment in comments)
    assert after.count("\r\n") == (after.count("\n") if "\r\n" in before else 0)


def test_what_is_written_as_nobody_foresaw_is_left_alone() -> None:
    no_comment = "vaes:\n  it: |\n    a\n    # b\n"
    for text in ("a: 1\n...\n", "models:\n  demo: {path: builtin}\n...\n# end\n", no_comment):
        with pytest.raises(ConfigError, match="cannot be added safely; put those there that --find prints"):
            with_entries(text, Entries(vaes={"mine": "x"}), "config.yaml")


def test_a_name_that_yaml_takes_for_something_else_stands_in_quotes() -> None:
    entries = Entries({name: {"path": f"/m/{name}"} for name in ("1.5", "yes", "null", "0x10", "a: b", "été", "v1-5")})
    after = with_entries("", entries, "x")
    assert {*parse_yaml(after, "x")["models"]} == {"demo", *entries.models}
    assert "\n  v1-5: {path: /m/v1-5}\n" in after


def test_lines_are_a_configuration_by_themselves() -> None:
    lines = lines_of(ENTRIES, {"sd15": "Stable Diffusion 1 or 2"})
    assert lines[1] == f"{LINES[0]}  # Stable Diffusion 1 or 2"
    assert parse_yaml("\n".join(lines), "x") == {
        "models": ENTRIES.models,
        "vaes": ENTRIES.vaes,
        "adapters": ENTRIES.adapters,
    }


def test_the_file_keeps_its_mode_and_its_owner_behind_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real.yaml"
    real.write_text(SHIPPED)
    real.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(real, 1, 2)
    before = real.stat()
    link = tmp_path / "config.yaml"
    link.symlink_to(real)
    add_to(link, ENTRIES)
    after = real.stat()
    assert link.is_symlink()
    assert (stat.S_IMODE(after.st_mode), after.st_uid, after.st_gid) == (0o640, before.st_uid, before.st_gid)
    assert {*read_config(link).models} == {"demo", "sd15", "xl"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "real.yaml"]


def test_what_would_be_wrong_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(SHIPPED)
    with pytest.raises(ConfigError, match=r"stays as it is, because with these lines: line \d+: 'models\.x\.pth' is no key"):
        add_to(path, Entries({"x": {"pth": "y"}}))
    assert path.read_text() == SHIPPED
    assert [*tmp_path.iterdir()] == [path]
