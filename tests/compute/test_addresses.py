"""Places for workers, as a configuration names them: what is one, and what is refused before it gets near a command line."""

from pathlib import Path

import pytest

from daemon.compute.addresses import SshAddress, check_place
from daemon.settings.config import examined


@pytest.mark.parametrize(
    ("said", "host", "user", "port"),
    [
        ("ssh://gpu-box", "gpu-box", None, None),
        ("ssh://ann@gpu-box.lan:2222", "gpu-box.lan", "ann", 2222),
        ("ssh://ann@192.168.1.7", "192.168.1.7", "ann", None),
        ("ssh://[fe80::1%eth0]:22", "fe80::1%eth0", None, 22),
        ("ssh://under_score", "under_score", None, None),
    ],
)
def test_an_address_is_a_host_and_perhaps_a_user_and_a_port(said: str, host: str, user: str | None, port: int | None) -> None:
    address = SshAddress.parse(said)
    assert (address.host, address.user, address.port) == (host, user, port)
    assert str(address) == said


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("gpu-box", "is no place for a worker: write local, or an address like ssh://user@gpu-box"),
        ("http://gpu-box", "is no place"),
        ("ssh://" + "a" * 300, "is no place"),
        ("ssh://", "a host whose name is none"),
        ("ssh://-oProxyCommand=x", "a host whose name is none"),
        ("ssh://ann@-oProxyCommand=x", "a host whose name is none"),
        ("ssh://-l@box", "a user whose name is none"),
        ("ssh://@box", "a user whose name is none"),
        ("ssh://an n@box", "a user whose name is none"),
        ("ssh://a;b@box", "a user whose name is none"),
        ("ssh://b ox", "a host whose name is none"),
        ("ssh://box;reboot", "a host whose name is none"),
        ("ssh://$(reboot)", "a host whose name is none"),
        ("ssh://box\n", "a host whose name is none"),
        ("ssh://bo\x1bx", "a host whose name is none"),
        ("ssh://b\u043ex", "a host whose name is none"),
        ("ssh://[box]", "a host whose name is none"),
        ("ssh://[::1", "a host whose name is none"),
        ("ssh://::1", "a host whose name is none"),
        ("ssh://ann:secret@box", "has a password in it"),
        ("ssh://box/opt/tiffsd", "has a path behind the host"),
        ("ssh://box?x", "has a path behind the host"),
        ("ssh://box:0", "has a port that is none"),
        ("ssh://box:65536", "has a port that is none"),
        ("ssh://box:22x", "has a port that is none"),
        ("ssh://box:", "has a port that is none"),
        ("ssh://box:\u0663", "has a port that is none"),
    ],
)
def test_what_could_be_an_option_or_a_word_for_a_shell_is_refused_with_a_sentence(said: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_place(said)


def test_a_configuration_names_the_line_of_a_bad_address_and_shows_no_password(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("compute:\n  workers:\n    - local\n    - ssh://box\n    - ssh://ann:s3c@ret@box\n    - 3\n")
    config, faults = examined(path)
    assert config is None
    assert faults[0].startswith("line 5: 'compute.workers.2' has a password in it, which anybody could read here")
    assert faults[0].endswith("(found 'ssh://ann:...@box')")
    assert faults[1:] == ["line 6: 'compute.workers.3' must be local, or an address like ssh://user@gpu-box (found 3)"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("local", "must be a list where it names places: [local]"),
        ("ssh://box", "must be a list where it names places: [ssh://box]"),
        ("[]", "must not be empty"),
        ("many", "must be a whole number"),
        ("0", "must be at least 1"),
    ],
)
def test_what_is_neither_a_number_nor_a_list_of_places_is_one_fault(tmp_path: Path, said: str, words: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"compute:\n  workers: {said}\n")
    config, faults = examined(path)
    assert config is None
    assert len(faults) == 1
    assert words in faults[0]


def test_a_list_of_places_is_taken_as_it_is_and_may_name_one_twice(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("compute:\n  workers: [local, ssh://ann@box, ssh://ann@box]\n  ssh_command: [/opt/tiffsd, worker]\n")
    config, faults = examined(path)
    assert config is not None, faults
    assert config.compute.workers == ["local", "ssh://ann@box", "ssh://ann@box"]
    assert config.compute.ssh_command == ["/opt/tiffsd", "worker"]
