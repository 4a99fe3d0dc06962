"""What tribond raises when it cannot do what was asked. Every message names the culprit and what to do."""


class TribondError(ValueError):
    """Base of all errors that a user of tribond can act on."""


class StructureError(TribondError):
    """The structure cannot be described: NaN positions, a flat cell, atoms on top of each other."""


class UnknownElementError(StructureError):
    """The structure holds an element that the model was never given."""


class ModelNotFoundError(TribondError):
    """No model has this name and no file has this path."""


class CheckpointError(TribondError):
    """A model file is damaged, too new, or not what it says it is."""


class DownloadError(TribondError):
    """A model file could not be fetched, or what came is not what was expected."""


class DataError(TribondError):
    """Training or evaluation data cannot be used as given."""


class ConfigError(TribondError):
    """A setting is unknown, contradictory or out of range."""


class ExportError(TribondError):
    """A compiled package cannot be made here, or cannot be read or run here."""
