"""The command line with a JPEG decoder that ends its process by a picture of `FATAL`, here and in child processes."""

from __future__ import annotations

import os
import signal
from typing import Any

import simplejpeg

from lookalike.cli.main import main
from lookalike.model.images import decoder_child, isolated
from lookalike.model.images.decoder_processes import DecoderProcesses
from tests.support.places import ROOT

FATAL = b"it ends the decoder"
"""What such a picture has at its end."""


def break_decoder() -> None:
    whole = simplejpeg.decode_jpeg

    def decode_jpeg(data: bytes, *arguments: Any, **options: Any) -> Any:
        if data.endswith(FATAL):
            os.kill(os.getpid(), signal.SIGSEGV)
        return whole(data, *arguments, **options)

    simplejpeg.decode_jpeg = decode_jpeg


def child() -> None:
    break_decoder()
    decoder_child.main()


if __name__ == "__main__":
    break_decoder()
    program = f"sys.path.insert(0, {str(ROOT)!r}); from tests.support.fragile import child; child()"
    isolated._processes = DecoderProcesses(program)
    main()
