"""`codesign.templates`: see docs/ARCHITECTURE.md for what lives here."""

if __name__ != "codesign.templates":
    raise ImportError("import this package as 'codesign.templates' (run 'pip install -e .' first)")
