"""Event-driven components: spikes travel as addresses and cost cycles only where they happen.
:mod:`codesign.spikes` says exactly what each of them computes."""
