"""`codesign.hdl`: see docs/ARCHITECTURE.md for what lives here."""

if __name__ != "codesign.hdl":
    raise ImportError("import this package as 'codesign.hdl' (run 'pip install -e .' first)")
