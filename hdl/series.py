"""Named components in a row that are one component, timing model included."""

from codesign.hdl.chain import Chain
from codesign.hdl.timing import Composite


class Series(Chain):
    """A :class:`Chain` whose parts all have event models."""

    def timing(self) -> Composite:
        """The event model of this component."""
        return Composite([part.timing() for part in self._parts.values()])  # type: ignore[attr-defined]

    @property
    def parts(self) -> dict[str, object]:
        """The components by name, in order."""
        return dict(self._parts)
