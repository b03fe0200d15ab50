"""Imports go one way, and adding a PEFT method is adding a file."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import clinstack

PACKAGE = Path(clinstack.__file__).parent
ORDER = ("data", "models", "training", "evaluation", "studies", "serving", "demo")
BOTTOM = {"errors", "config", "discovery"}
LEAVES = BOTTOM | {"metrics", "runs"}
TOP = ("cli.py", "commands", "terminal.py", "__init__.py")


def own_imports(file: Path) -> set[str]:
    """The rooms of clinstack that a file imports from, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("clinstack"):
            names = [node.module] if node.module != "clinstack" else [f"clinstack.{name.name}" for name in node.names]
        elif isinstance(node, ast.Import):
            names = [name.name for name in node.names if name.name.startswith("clinstack.")]
        else:
            continue
        found |= {name.split(".")[1] for name in names}
    return found


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_one_way(file: Path):
    room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in BOTTOM:
        allowed = BOTTOM
    elif room in ("metrics", "runs"):
        allowed = BOTTOM | {room}
    elif room in ORDER:
        allowed = LEAVES | set(ORDER[: ORDER.index(room) + 1])
    else:
        assert file.relative_to(PACKAGE).parts[0] in TOP
        allowed = LEAVES | set(ORDER) | {"terminal", *({"commands"} if room in ("commands", "cli") else ())}
    assert own_imports(file) <= allowed


def test_a_new_peft_method_is_one_file(tmp_path: Path):
    shutil.copytree(PACKAGE, tmp_path / "clinstack", ignore=shutil.ignore_patterns("tiny_base", "__pycache__"))
    methods = tmp_path / "clinstack" / "models" / "methods"
    new = (methods / "prefix.py").read_text().replace("class Prefix(Prompting)", "class Sparse(Prompting)")
    (methods / "sparse_prefix.py").write_text(new.replace("projection: bool", "pieces: bool"))
    found = _python(tmp_path, "from clinstack.models.method import method_fields; print(method_fields()['pieces'])")
    assert found.stdout.strip() == "['sparse-prefix']"
    helped = _python(tmp_path, "from clinstack.cli import main; main(['adapt', '--help'])")
    assert "--pieces" in helped.stdout
    (methods / "empty.py").write_text('"""Nothing."""\n')
    refused = _python(tmp_path, "from clinstack.cli import main; main(['adapt', '--help'])")
    assert f"{methods / 'empty.py'} must hold exactly one public Method class, and holds 0." in refused.stderr


def _python(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
