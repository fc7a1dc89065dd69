"""`codesign.sim`: see docs/ARCHITECTURE.md for what lives here."""

if __name__ != "codesign.sim":
    raise ImportError("import this package as 'codesign.sim' (run 'pip install -e .' first)")
