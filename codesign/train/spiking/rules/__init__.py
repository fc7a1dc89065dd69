"""Learning rules: one file each, all with the interface of ``base.Rule``."""
