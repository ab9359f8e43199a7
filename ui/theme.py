"""Streamlit's options for the page: nothing is loaded from outside, nothing is reported, and the pictures come first.

The colours are set for both themes; the person's system decides which one is shown.
"""

OPTIONS: dict[str, str | bool | int] = {
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "client.showSidebarNavigation": True,
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "theme.baseRadius": "medium",
    "theme.baseFontSize": 15,
    "theme.font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif",
    "theme.headingFontSizes": ["1.5rem", "1.2rem", "1.05rem", "1rem", "1rem", "1rem"],  # type: ignore[dict-item]
    "theme.paddingTop": "1rem",
    "theme.paddingBottom": "0.75rem",
    "theme.showSidebarBorder": True,
    "theme.light.primaryColor": "#1f5fd6",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f1f2f4",
    "theme.light.textColor": "#1b1d21",
    "theme.light.linkColor": "#1f5fd6",
    "theme.light.sidebar.backgroundColor": "#f7f8f9",
    "theme.light.sidebar.secondaryBackgroundColor": "#ffffff",
    "theme.dark.primaryColor": "#2f6be0",
    "theme.dark.backgroundColor": "#17181a",
    "theme.dark.secondaryBackgroundColor": "#222427",
    "theme.dark.textColor": "#e8e9eb",
    "theme.dark.linkColor": "#8ab0ff",
    "theme.dark.sidebar.backgroundColor": "#1d1e21",
    "theme.dark.sidebar.secondaryBackgroundColor": "#2a2c30",
}
