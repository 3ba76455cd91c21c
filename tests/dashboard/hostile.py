"""What must not run, wherever it is shown."""

from playwright.sync_api import Page as Tab

HOSTILE = '"><script>document.title="run"</script><img src=x onerror="document.title=\'run\'">'
"""Ends an attribute and an element, and would change the title."""


def check_tame(tab: Tab, *texts: str) -> None:
    """Nothing of the page runs or could, and the texts are shown as they are."""
    assert tab.title().endswith("Antiphon")
    assert (
        tab.locator("main script, main img, main [onerror], main iframe, a[href^='javascript']").count() == 0
    )
    shown = tab.locator("main").inner_text()
    assert [text for text in texts if text not in shown] == []
