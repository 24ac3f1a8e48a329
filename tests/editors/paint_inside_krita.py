"""Runs inside Krita, with its Python and its modules: the orders in $TIFFSD_ORDERS, one file after another."""

import json
import os
import struct
import traceback
from pathlib import Path

from krita import InfoObject, Krita
from PyQt5.QtCore import QByteArray

# How a sample is packed, and what is full; colours lie as blue, green, red in integers.
SAMPLE = {"U8": ("B", 255), "U16": ("<H", 65535), "F16": ("<e", 1.0), "F32": ("<f", 1.0)}


def run(*_):
    orders = json.loads(Path(os.environ["TIFFSD_ORDERS"]).read_text())
    krita = Krita.instance()
    krita.setBatchmode(True)
    for order in orders["orders"]:
        try:
            work(krita, orders, **order)
        except Exception:  # noqa: BLE001  one file must not cost the others; it leaves none, which is what is judged
            traceback.print_exc()
    os._exit(0)  # Krita's own end waits for a window


def work(krita, orders, source, target, space, hand, options):
    document = krita.openDocument(source)
    document.setBatchmode(True)
    if space:
        document.setColorSpace("RGBA", *space)
        document.waitForDone()
    if hand:
        layer = new_layer(document) if hand == "on_a_layer" else document.topLevelNodes()[0]
        fill(layer, orders["colour"], 0 if hand == "erased" else 1, *orders["box"])
    document.refreshProjection()
    document.waitForDone()
    if source == target:
        document.save()
    else:
        document.exportImage(target, information(options))
    document.close()


def new_layer(document):
    layer = document.createNode("Layer", "paintlayer")
    document.rootNode().addChildNode(layer, None)
    layer.setColorSpace(document.colorModel(), document.colorDepth(), document.colorProfile())
    return layer


def fill(layer, colour, alpha, x, y, width, height):
    form, full = SAMPLE[layer.colorDepth()]
    integers = isinstance(full, int)
    values = [level / 255 * full for level in (reversed(colour) if integers else colour)] + [alpha * full]
    pixel = b"".join(struct.pack(form, round(value) if integers else value) for value in values)
    layer.setPixelData(QByteArray(pixel * (width * height)), x, y, width, height)


def information(options):
    made = InfoObject()
    for name, value in options.items():
        made.setProperty(name, value)
    return made
