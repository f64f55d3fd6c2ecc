"""The port where the server takes OSC, as the server, its clients and their commands know it."""

OSC_PORT = 9400  # unless told otherwise


def serve_command(osc_port: int) -> str:
    """The command line of a server that takes OSC at a port."""
    return "drumjax serve" if osc_port == OSC_PORT else f"drumjax serve --osc_port={osc_port}"
