"""`codesign.boards`: see docs/ARCHITECTURE.md for what lives here."""

if __name__ != "codesign.boards":
    raise ImportError("import this package as 'codesign.boards' (run 'pip install -e .' first)")
