"""Runs inside Krita, with its Python and its modules: the orders in $TIFFSD_JOBS, one file after another."""

import json
import os
import struct
import traceback
from pathlib import Path

from krita import InfoObject, Krita
from PyQt5.QtCore import QByteArray

SAMPLE = {"F16": "<e", "F32": "<f"}
SAMPLES = {"RGBA": 4, "GRAYA": 2}


def run(*_):
    jobs = json.loads(Path(os.environ["TIFFSD_JOBS"]).read_text())
    krita = Krita.instance()
    krita.setBatchmode(True)
    for edit, source, target, pages in jobs["orders"]:
        try:
            work(krita, jobs, edit, source, target, pages)
        except Exception:  # noqa: BLE001  one file must not cost the others; it leaves none, which is what is judged
            traceback.print_exc()
    os._exit(0)  # Krita's own end waits for a window


def work(krita, jobs, edit, source, target, pages):
    document = krita.openDocument(source)
    document.setBatchmode(True)
    for layer in document.topLevelNodes():
        if edit == "fill":
            fill(layer, jobs["fill"], *jobs["painted"])
        if edit == "blur":
            krita.filter("blur").apply(layer, *jobs["painted"])
    if edit == "crop":
        document.crop(*jobs["left"])
    document.refreshProjection()
    document.waitForDone()
    document.exportImage(target, layered() if pages > 1 else InfoObject())
    document.close()


def fill(layer, value, x, y, width, height):
    sample = SAMPLE[layer.colorDepth()]
    pixel = struct.pack(sample, value) * (SAMPLES[layer.colorModel()] - 1) + struct.pack(sample, 1)
    layer.setPixelData(QByteArray(pixel * (width * height)), x, y, width, height)


def layered():
    options = InfoObject()
    for name, value in {"alpha": True, "flatten": False, "saveProfile": False, "compressiontype": 0}.items():
        options.setProperty(name, value)
    return options
