"""Runs inside Krita, with its Python and its modules: the orders in $TIFFSD_ORDERS, one file after another."""

import json
import math
import os
import struct
import traceback
from pathlib import Path

from krita import InfoObject, Krita, Selection
from PyQt5.QtCore import QByteArray

SAMPLE = {"F16": "<e", "F32": "<f"}
SAMPLES = {"RGBA": 4, "GRAYA": 2}
PLACES = {}


def run(*_):
    orders = json.loads(Path(os.environ["TIFFSD_ORDERS"]).read_text())
    PLACES.update(orders)
    krita = Krita.instance()
    krita.setBatchmode(True)
    for words in orders["orders"]:
        try:
            work(krita, *words)
        except Exception:  # noqa: BLE001  one file must not cost the others; it leaves none, which is what is judged
            traceback.print_exc()
    os._exit(0)  # Krita's own end waits for a window


def work(krita, action, *words):
    *words, source, target = words
    layered = words[-1:] == ["layered"]
    document = krita.openDocument(source)
    document.setBatchmode(True)
    paint(document.topLevelNodes()[-1], PLACES["place"])
    ACTIONS[action](document, *(words[:-1] if layered else words))
    document.refreshProjection()
    document.waitForDone()
    document.exportImage(target, in_layers() if layered or len(document.topLevelNodes()) > 2 else InfoObject())
    document.close()


def paint(layer, place):
    white = struct.pack(SAMPLE[layer.colorDepth()], 1.0) * SAMPLES[layer.colorModel()]
    side = PLACES["side"]
    layer.setPixelData(QByteArray(white * side * side), place, place, side, side)


def in_layers():
    options = InfoObject()
    for name, value in {"alpha": True, "flatten": False, "saveProfile": True, "compressiontype": 0}.items():
        options.setProperty(name, value)
    return options


def nothing(document):
    pass


def convert(document, model, depth, profile):
    document.setColorSpace(model, depth, profile)


def turn(document):
    document.rotateImage(math.pi / 2)


def crop(document):
    document.crop(0, 0, 24, 24)


def enlarge(document, way):
    document.scaleImage(2 * document.width(), 2 * document.height(), 72, 72, way)


def enlarge_canvas(document):
    document.resizeImage(0, 0, 2 * document.width(), 2 * document.height())


def select(document):
    selection = Selection()
    selection.select(2, 2, 7, 7, 255)
    document.setSelection(selection)


def move(document):
    document.topLevelNodes()[-1].move(3, 2)


def add_layer(document):
    layer = document.createNode("Layer", "paintlayer")
    document.rootNode().addChildNode(layer, None)
    return layer


def duplicate(document):
    layer = document.topLevelNodes()[0].duplicate()
    document.rootNode().addChildNode(layer, None)
    return layer


def paint_on_new_layer(document):
    paint(add_layer(document), PLACES["second"])


def paint_on_duplicate(document):
    paint(duplicate(document), PLACES["second"])


ACTIONS = {
    action.__name__: action
    for action in (
        *(nothing, convert, turn, crop, enlarge, enlarge_canvas, select, move, add_layer, duplicate),
        *(paint_on_new_layer, paint_on_duplicate),
    )
}
