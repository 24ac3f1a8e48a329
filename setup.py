"""Carries config.yaml, systemd/ and the pages of docs/ into the wheel; everything else about the package stands in pyproject.toml.

They live at the top of the repository, where people look for them, and so outside the packages. A wheel gets copies in
`daemon/data`; `daemon/settings/resources.py` finds them there, and at the top level in a checkout, where nothing is copied.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CARRIED = [Path("config.yaml"), *sorted(Path("systemd").iterdir()), *sorted(Path("docs").glob("*.md"))]


class BuildWithTopLevelFiles(build_py):
    """Setuptools' own step, and then the copies: into the build folder, never into the source."""

    def run(self) -> None:
        super().run()
        for source, target in self._copies().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target, preserve_mode=False)

    def get_source_files(self) -> list[str]:  # for the source distribution
        return [*super().get_source_files(), *self._copies()]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *self._copies().values()]

    def _copies(self) -> dict[str, str]:
        if self.editable_mode:
            return {}
        return {str(path): str(Path(self.build_lib, "daemon", "data", path)) for path in CARRIED}


setup(cmdclass={"build_py": BuildWithTopLevelFiles})
