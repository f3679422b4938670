# The one place of the version. The build, the layer and the telemetry read it here.
__version__ = "0.1.0"
