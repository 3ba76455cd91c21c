"""`antiphon` with the toy tool in its registry: what a test kills."""

from tests.tools.toy_tool import ROW

from antiphon.cli import main
from antiphon.tools.registry import REGISTRY

if __name__ == "__main__":
    REGISTRY.add(ROW)
    main()
