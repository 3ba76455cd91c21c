"""What names of test modules stand before."""

import sys
from importlib.machinery import PathFinder
from pathlib import Path

HERE = Path(__file__).parent.parent


def test_no_module_of_the_tests_hides_a_library() -> None:
    """Each folder of tests is on the path, in front of what is installed."""
    installed = [
        path for path in sys.path if not Path(path).is_relative_to(HERE) and Path(path) != HERE.parent
    ]
    modules = [each for each in HERE.rglob("*.py") if "node_modules" not in each.parts]

    assert len(modules) > 100
    assert [each for each in modules if PathFinder.find_spec(each.stem, installed)] == []
