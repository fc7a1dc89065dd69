"""Training of spiking networks whose forward pass is the integer step of ``codesign.neurons``.

Importing this package loads nothing; its modules need ``pip install codesign[train]``.
"""
