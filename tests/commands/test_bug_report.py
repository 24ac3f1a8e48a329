"""`tiffsd report`: what a bug report needs is in it, and no secret, wherever one stood."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import tiffsd
from daemon.cli import app
from daemon.jobs.redacting import LEFT_OUT, Redaction, secrets_in
from tests.artifacts import latents

HOOK, UNKNOWN, ADDRESS, ENVIRONMENT, HUB = (
    "s3cr3t-of-a-hook",
    "s3cr3t-of-a-key",
    "s3cr3t-of-an-address",
    "s3cr3t-of-env",
    "s3cr3t-of-hub",
)
RECIPE, WORKFLOW, LOGGED = "s3cr3t-of-a-recipe", "hf_s3cr3tOfAWorkflow", "s3cr3tOfALogLine"
SECRETS = (HOOK, UNKNOWN, ADDRESS, ENVIRONMENT, HUB, RECIPE, WORKFLOW, LOGGED)
CONFIG = f"""
spool: spool
models: {{demo: {{path: builtin}}, mine: {{path: "https://me:{ADDRESS}@models.test/mine"}}}}
hooks: {{failed: [/usr/local/bin/tell, --to, "{HOOK}"]}}
limits: {{steps: 77}}
"""
LOG = f"""\
2026-11-30 10:00:00 another.aaaaaaaa: failed: something else
2026-11-30 10:00:01 cat.0a1b2c3d: failed: internal error in tiffsd, Authorization: Bearer {LOGGED}
    Traceback (most recent call last):
    ValueError: {HOOK} {HUB}
2026-11-30 10:00:02 cat.0a1b2c3d.tiff: hook failed said {ENVIRONMENT}
2026-11-30 10:00:03 cathedral.bbbbbbbb: finished
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spool with a failed job, secrets in all that a report may look at."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MY_API_KEY", ENVIRONMENT)
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    (tmp_path / "token").write_text(HUB)
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "log.txt").write_text(LOG)
    run("init")
    failed = tmp_path / "spool/failed/2-diffuse/cat.0a1b2c3d"
    failed.mkdir()
    recipe = {
        "prompt": "a red house",
        "model": "mine",
        "password": [RECIPE],
        "workflow": {"inputs": f"key {WORKFLOW} in {tmp_path}/x"},
    }
    tiffsd.write(failed / "cat.0a1b2c3d.tiff", latents(recipe=recipe))
    (failed / "error.txt").write_text(f"internal error at {tmp_path}/models, token={HUB}\n")
    (failed / "error.json").write_text(
        json.dumps({"sentence": "internal error", "traceback": f"boom {ENVIRONMENT}", "api_key": UNKNOWN})
    )
    (tmp_path / "spool/done/2026-11-30").mkdir(parents=True)
    (tmp_path / "spool/done/2026-11-30/cat.txt").write_text("a red house")
    return tmp_path


def run(*words: str, answer: str = "", code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(words), input=answer)
    assert result.exit_code == code, result.output
    return result


def test_a_report_has_what_somebody_needs_who_was_not_there(home: Path) -> None:
    text = run("report", "cat.0a1b2c3d", "--log", "log.txt").stdout
    for words in (
        "torch: ",
        "python: ",
        "Linux",
        '"steps": 77',
        "failed/2-diffuse/cat.0a1b2c3d/error.txt",
        "internal error",
        "a red house",
    ):
        assert words in text
    assert "done/2026-11-30/cat.txt" in text
    assert '"kind": "latents"' in text
    assert "tell, with 2 arguments" in text
    assert home.exists()


def test_no_secret_is_in_it_and_nobodys_home(home: Path) -> None:
    text = run("report", "cat.0a1b2c3d", "--log", "log.txt").stdout
    assert [secret for secret in SECRETS if secret in text] == []
    assert str(home) not in text
    assert "~/models" in text


def test_a_configuration_with_a_fault_tells_the_fault_and_not_the_value(home: Path) -> None:
    (home / "config.yaml").write_text(
        f"spool: spool\nhf_token: {UNKNOWN}\nmodels: {{demo: {HOOK}}}\ncompute: {{device: {ADDRESS}}}\n"
    )
    text = run("report", "cat.0a1b2c3d").stdout
    assert "'hf_token'" in text
    assert "line 4" in text
    assert not [secret for secret in SECRETS if secret in text]


def test_of_the_log_the_lines_of_the_job_are_in_it_with_their_tracebacks(home: Path) -> None:
    text = run("report", "cat.0a1b2c3d", "--log", str(home / "log.txt")).stdout
    assert "internal error in tiffsd" in text
    assert "    Traceback" in text
    assert "hook failed said" in text
    assert "another" not in text
    assert "cathedral" not in text


@pytest.mark.parametrize("name", ["cat", "cat.txt", "cat.0a1b2c3d", "cat.0a1b2c3d.tiff", "spool/failed/2-diffuse/cat.0a1b2c3d"])
def test_a_job_is_named_as_people_name_it(home: Path, name: str) -> None:
    assert "## failed/2-diffuse/cat.0a1b2c3d/error.txt" in run("report", name).stdout
    assert home.exists()


def test_without_prompts_their_words_stand_nowhere(home: Path) -> None:
    (home / "spool/hold/1-text/cat.0a1b2c3d.txt").write_text("---\nsteps: 5\nnegative_prompt: a grey cloud\n---\na secret garden")
    (home / "spool/failed/2-diffuse/cat.0a1b2c3d/error.txt").write_text("the prompt 'a red house' is not understood")
    text = run("report", "cat.0a1b2c3d", "--no-prompts").stdout
    assert '"steps": 5' in text
    for words in ("a red house", "secret garden", "grey cloud"):
        assert words not in text


def test_it_is_shown_before_it_is_written_and_only_written_on_a_yes(home: Path) -> None:
    assert "Nothing was written" in run("report", "cat").output
    refused = run("report", "cat", "-o", "report.md", answer="n\n")
    assert "## Versions" in refused.stdout
    assert not (home / "report.md").exists()
    shown = run("report", "cat", "-o", "report.md", answer="y\n").stdout
    assert (home / "report.md").read_text() == shown
    again = CliRunner().invoke(app, ["report", "cat", "-o", "report.md", "--yes"])
    assert "it stays as it is" in str(again.exception)


def test_a_name_that_the_spool_does_not_know_is_said(home: Path) -> None:
    result = CliRunner().invoke(app, ["report", "dog"])
    assert "dog: the spool holds no file of that name or stem" in str(result.exception)
    assert home.exists()


def test_a_report_steers_no_terminal(home: Path) -> None:
    (home / "spool/failed/2-diffuse/cat.0a1b2c3d/error.txt").write_text("\x1b[2J\u202egone")
    text = run("report", "cat").stdout
    assert "\\x1b[2J\\u202egone" in text
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("https://me:word@host/x", f"https://{LEFT_OUT}@host/x"),
        ("Authorization: Bearer abcdef123456", f"Authorization: {LEFT_OUT}"),
        ("HF_TOKEN=abc", f"HF_TOKEN={LEFT_OUT}"),
        ('{"password": "a b c", "x": 1}', f'{{"password": {LEFT_OUT}, "x": 1}}'),
        ("ghp_0123456789abcdef", LEFT_OUT),
        ("http://127.0.0.1:7860/?token=abcdefgh&x=1", f"http://127.0.0.1:7860/?token={LEFT_OUT}&x=1"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n", LEFT_OUT),
        ("tokenizer_2: t5-tokenizer", "tokenizer_2: t5-tokenizer"),
        ("a keyhole, 12 tokens of 77", "a keyhole, 12 tokens of 77"),
        ("mail someone@example.test", "mail someone@example.test"),
    ],
)
def test_secrets_are_known_by_their_form(words: str, left: str) -> None:
    assert Redaction([]).text(words) == left
    assert Redaction([]).text(left) == left


def test_secrets_are_known_by_their_names_and_then_wherever_they_stand() -> None:
    known = list(secrets_in({"a": [{"my_secret": ["one-two", 3]}], "b": "plain"}))
    assert known == ["one-two"]
    assert Redaction(known).text("said one-two") == f"said {LEFT_OUT}"
