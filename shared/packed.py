"""Values that travel over a lane a hundred at a time."""

from typing import ClassVar


class Packed:
    """Pickled as its class and the values of its fields. A base for frozen dataclasses with slots.

    What such a dataclass does by itself looks its fields up anew for every value: several times the cost.
    """

    __slots__: ClassVar[tuple[str, ...]] = ()

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), tuple([getattr(self, name) for name in self.__slots__])
