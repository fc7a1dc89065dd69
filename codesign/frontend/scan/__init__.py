"""Recurrent layers: the body of a `Scan` becomes part of the graph, its states delays."""
