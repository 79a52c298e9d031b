"""How Sphinx makes a site of these pages (``make docs``): warnings, dead links among them, fail it."""

project = "pacs-recover"
extensions = ["myst_parser"]
myst_heading_anchors = 4
exclude_patterns = ["_static"]
html_theme = "alabaster"
html_static_path = ["_static"]
html_css_files = ["page.css"]
html_theme_options = {"page_width": "70rem", "fixed_sidebar": True, "show_powered_by": False}
html_show_copyright = False
